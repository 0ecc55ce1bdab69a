"""The columns of what dbt reads but does not build, for the pages of landed tables.

They are written in ``dbt_project/models/staging/_sources.yml``; a test holds them to the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from meta_ads_pipeline.catalog import Asset
from meta_ads_pipeline.transform.relations import dbt_manifest


def source_key(source: Mapping[str, Any]) -> dg.AssetKey:
    """The asset that a source of the manifest is."""
    declared = source["config"].get("meta", {}).get("dagster", {}).get("asset_key")
    return dg.AssetKey(declared or [source["source_name"], source["name"]])


def with_source_columns(assets: Iterable[Asset]) -> list[Asset]:
    """The assets, those that are sources of dbt's with their column schema."""
    schemas = {
        source_key(source): dg.TableSchema(
            [
                dg.TableColumn(each["name"], each["data_type"], each["description"] or None)
                for each in source["columns"].values()
            ]
        )
        for source in dbt_manifest()["sources"].values()
    }

    def described(spec: dg.AssetSpec) -> dg.AssetSpec:
        schema = schemas.get(spec.key)
        if schema is None:
            return spec
        return spec.merge_attributes(metadata={"dagster/column_schema": schema})

    return list(dg.map_asset_specs(described, assets))
