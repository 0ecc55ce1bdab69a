"""How dbt's models are named, grouped and described in Dagster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject


class MartsTranslator(DagsterDbtTranslator):
    """Keys are ``[schema, model]``, groups are dbt's layers: staging, intermediate, marts."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_source_tests_as_checks=False))

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        """The default spec with the schema as key prefix and group."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        node = manifest["nodes"].get(unique_id)
        if node is None:  # a source: its key is declared beside it, in the project
            return spec
        schema = node["config"].get("schema") or node["schema"]
        return spec.replace_attributes(
            key=dg.AssetKey([schema, node["alias"]]), group_name=schema
        ).merge_attributes(metadata={"dagster/relation_identifier": f"{schema}.{node['alias']}"})
