"""How dbt's models are named, grouped and connected in Dagster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from meta_ads_pipeline.transform.without_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtProject,
    default_description_fn,
)


class MartsTranslator(DagsterDbtTranslator):
    """Keys are ``[schema, model]``, groups are dbt's layers: staging, intermediate, marts."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_source_tests_as_checks=False))
        self._specs: dict[tuple[int, str], dg.AssetSpec] = {}

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        """The default spec with schema as key prefix and group.

        A model depends directly on what it reads through views, too: views are not part of a run,
        and the order raw, then marts must hold without them.
        """
        # dagster-dbt asks for a model's spec once for each model and test that reads it.
        known = (id(manifest), unique_id)
        if known not in self._specs:
            self._specs[known] = self._spec(manifest, unique_id, project)
        return self._specs[known]

    def _spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        node = manifest["nodes"].get(unique_id)
        if node is None:  # a source: its key is declared beside it, in the project
            return spec
        schema = node["config"].get("schema") or node["schema"]
        name = f"{schema}.{node['alias']}"
        spec = spec.replace_attributes(
            key=dg.AssetKey([schema, node["alias"]]),
            group_name=schema,
            description=node["description"].strip(),  # by default with the raw SQL after it
        ).merge_attributes(metadata={"dagster/table_name": name})
        if is_static(node):
            return spec
        direct = {dep.asset_key for dep in spec.deps}
        behind_views = {
            self.get_asset_spec(manifest, parent, project).key
            for parent in _behind_views(manifest, unique_id)
        }
        return spec.merge_attributes(deps=sorted(behind_views - direct))

    def get_asset_check_spec(
        self,
        asset_spec: dg.AssetSpec,
        manifest: Mapping[str, Any],
        unique_id: str,
        project: DbtProject | None,
    ) -> dg.AssetCheckSpec | None:
        """The default spec with the test's description, which dagster-dbt looks for elsewhere."""
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        if spec is None:
            return None
        return spec._replace(description=manifest["nodes"][unique_id]["description"])

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The description alone: dagster-dbt adds the SQL, which is a click away in dbt's docs."""
        description: str = default_description_fn(dbt_resource_props, display_raw_sql=False)
        return description


def is_static(node: Mapping[str, Any]) -> bool:
    """Whether a dbt node holds no data of its own: a view or a seed."""
    materialized: str | None = node["config"].get("materialized")
    return node["resource_type"] == "seed" or materialized == "view"


def _behind_views(manifest: Mapping[str, Any], unique_id: str) -> Iterator[str]:
    """The tables, seeds excepted, that a model reads through views."""
    for parent in manifest["nodes"][unique_id]["depends_on"]["nodes"]:
        node = manifest["nodes"].get(parent)
        if node is None:
            yield parent
        elif node["resource_type"] == "model":
            if is_static(node):
                yield from _behind_views(manifest, parent)
            else:
                yield parent
