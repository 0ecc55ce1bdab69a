"""The overridden names that ``meta_ads_pipeline/transform/__init__.py`` lists are still there."""

from __future__ import annotations

import inspect

import pytest

from meta_ads_pipeline import transform
from meta_ads_pipeline.transform.dbt_cli import DbtCli
from meta_ads_pipeline.transform.relations import dbt_manifest
from meta_ads_pipeline.transform.without_dbt import DbtCliResource

METHODS = {
    "_cli_version": "self._cli_version",
    "_initialize_dbt_core_adapter": "self._initialize_dbt_core_adapter(",
}
"""By method: the use of it in dagster-dbt that the override serves."""

MACROS = {
    "get_where_subquery": "dbt.get_where_subquery",
    "postgres__get_empty_schema_sql": "dbt.default__get_empty_schema_sql",
    "postgres__get_columns_in_relation": "dbt_postgres.postgres__get_columns_in_relation",
    "postgres__check_for_schema_changes": "dbt.default__check_for_schema_changes",
    "materialization_view_postgres": "dbt.materialization_view_default",
    "materialization_table_postgres": "dbt.materialization_table_default",
}
"""By macro of ours: the one that it stands in for."""


@pytest.mark.parametrize("name", METHODS)
def test_dagster_dbt_still_asks_for_what_is_overridden(name: str) -> None:
    assert name in transform.__doc__
    assert hasattr(DbtCliResource, name)
    assert name in vars(DbtCli)
    assert METHODS[name] in inspect.getsource(DbtCliResource)


@pytest.mark.parametrize("name", MACROS)
def test_dbt_still_has_the_macro_that_is_overridden(name: str) -> None:
    macros = dbt_manifest()["macros"]
    assert f"macro.meta_ads.{name}" in macros
    assert f"macro.{MACROS[name]}" in macros
    listed = name.replace("_postgres", "_default") if "materialization" in name else name
    assert listed in transform.__doc__
