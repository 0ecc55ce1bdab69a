"""The catalog's pages: each asset has an owner and words, each check says what it asks."""

from __future__ import annotations

import re
from datetime import date, timedelta
from unittest.mock import patch

import dagster as dg
import pytest
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from meta_ads_pipeline import catalog
from meta_ads_pipeline.catalog import entry
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.definitions import build_defs
from meta_ads_pipeline.settings import Settings
from meta_ads_pipeline.transform.check_names import leading_comment
from meta_ads_pipeline.transform.relations import dbt_manifest
from meta_ads_pipeline.transform.row_counts import row_count, rows_by_date
from meta_ads_pipeline.windows import DateWindow


@pytest.fixture(scope="module")
def graph() -> dg.AssetGraph:
    with dg.DagsterInstance.ephemeral():
        return build_defs().resolve_asset_graph()


def test_every_asset_has_an_owner_a_layer_and_a_description_without_sql(graph) -> None:
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.owners, key
        assert node.tags["meta_ads/layer"], key
        assert node.description, key
        assert "Raw SQL" not in node.description, key
        assert node.group_name != "default", key


def test_every_asset_has_a_column_schema_and_a_kind(graph) -> None:
    without = {
        key.to_user_string()
        for key in graph.get_all_asset_keys()
        if "dagster/column_schema" not in graph.get(key).metadata
    }
    assert without == {"control/sync_results"}  # no table
    assert all(graph.get(key).kinds for key in graph.get_all_asset_keys())


def test_the_columns_of_landed_tables_are_those_of_the_database(database: Database) -> None:
    for source in dbt_manifest()["sources"].values():
        with database.connect() as connection:
            rows = connection.execute(
                "select attname as name, format_type(atttypid, atttypmod) as type"
                " from pg_attribute where attrelid = %s::regclass and attnum > 0"
                " and not attisdropped order by attnum",
                [f"{source['schema']}.{source['name']}"],
            ).fetchall()
        written = {each["name"]: each["data_type"] for each in source["columns"].values()}
        assert written == {row["name"]: row["type"] for row in rows}, source["name"]


def test_every_mart_shows_its_page(graph) -> None:
    marts = [
        node for node in map(graph.get, graph.get_all_asset_keys()) if node.key.path[0] == "marts"
    ]
    assert len(marts) >= 28
    for mart in marts:
        assert mart.metadata["page"].value.startswith(f"# marts.{mart.key.path[1]}"), mart.key
        # Not in whichever database dbt was last parsed for.
        assert mart.metadata["dagster/table_name"] == ".".join(mart.key.path)


def test_every_check_says_what_it_asks_and_none_is_named_by_how_it_is_made(graph) -> None:
    made = re.compile(r"^(accepted_values|unique_combination|relationships|not_null|unique)_")
    for key in graph.asset_check_keys:
        assert graph.get(key).description, key
        assert not made.match(key.name), key


def test_where_the_schedules_are_on_dagster_calls_late_what_the_mart_calls_late() -> None:
    spec = dg.AssetSpec(["marts", "metric_facts"])
    assert entry(spec).freshness_policy is None, "nothing is late that nobody refreshes"
    settings = Settings(
        META_ADS_SCHEDULES_ON=True,
        PERFORMANCE_SYNC_INTERVAL_MINUTES=240,
        META_SYNC_INTERVAL_MINUTES=1440,
    )
    with patch.object(catalog, "get_settings", lambda: settings):
        policy = entry(spec).freshness_policy
        assert entry(dg.AssetSpec(["marts", "dim_ads"])).freshness_policy is None
        entities = entry(dg.AssetSpec(["raw", "campaigns"])).freshness_policy
    assert isinstance(policy, TimeWindowFreshnessPolicy)
    assert policy.warn_window.to_timedelta() == timedelta(minutes=315)
    assert isinstance(entities, TimeWindowFreshnessPolicy)
    assert entities.warn_window.to_timedelta() == timedelta(hours=25, minutes=15)


def test_a_tests_own_comment_is_its_description() -> None:
    code = (
        "{{ config() }}\n-- depends_on: {{ ref('x') }}\n\n-- Nothing is\n-- lost.\nselect 1 -- no"
    )
    assert leading_comment(code) == "Nothing is lost."
    assert leading_comment("select 1") == ""


def test_rows_to_plot_are_counted_per_date_or_in_all(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("create schema if not exists plotted")
        connection.execute(
            "create table plotted.daily as select * from (values"
            " ('1', date '2026-03-01', 10, 2), ('2', date '2026-03-01', 5, null),"
            " ('1', date '2026-03-09', 7, 1)) as v (account_id, event_date, impressions, clicks)"
        )
        connection.execute("create table plotted.entities as select 1 as id")
    window = DateWindow(date(2026, 3, 1), date(2026, 3, 2))
    assert rows_by_date(database, "plotted", "daily", window) == {
        "2026-03-01": {
            **{"dagster/partition_row_count": 2, "accounts": 2},
            **{"impressions": 15, "clicks": 2},
        },
        "2026-03-02": {
            **{"dagster/partition_row_count": 0, "accounts": 0},
            **{"impressions": 0, "clicks": 0},
        },
    }
    assert rows_by_date(database, "plotted", "entities", window) is None
    assert row_count(database, "plotted", "entities") == 1
    assert row_count(database, "plotted", "gone") is None
    with database.connect() as connection:
        connection.execute("drop schema plotted cascade")
