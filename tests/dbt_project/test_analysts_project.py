"""A dbt project that an analyst has edited: columns, tables and seeds migrate by themselves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import pytest

from meta_ads_pipeline.transform import project as projects
from meta_ads_pipeline.transform.assets import build_dbt_assets
from meta_ads_pipeline.transform.dbt_cli import DbtCli, dbt_cli
from meta_ads_pipeline.transform.dbt_server import start_server
from meta_ads_pipeline.transform.history import (
    definition_of,
    outdated_windows,
    rebuild_windows,
    window_arguments,
)
from meta_ads_pipeline.transform.relations import (
    dbt_manifest,
    ensure_relations,
    make_missing_indexes,
    missing_relations,
)
from meta_ads_pipeline.transform.without_dbt import DbtCliInvocation
from meta_ads_pipeline.windows import DateWindow

from .warehouse import PROJECT, AdDay, Warehouse

DAY, EARLY = date(2026, 11, 19), date(2026, 9, 3)
NEWEST = window_arguments(DateWindow(DAY, DAY))
TABLE = """{{ config(materialized='table') }}

select extract(isodow from event_date)::int as weekday, sum(spend) as spend
from {{ ref('account_daily') }} group by 1
"""


@pytest.fixture(scope="module")
def built(built_warehouse: Warehouse) -> Warehouse:
    """Two dates, eleven weeks apart, under the project as it comes."""
    built_warehouse.empty()
    built_warehouse.account()
    for day in (EARLY, DAY):
        built_warehouse.pull(day, AdDay("1", {9: ("2.50", 10, 1)}, {"omni_purchase": "2"}))
    built_warehouse.build(tests=False)
    return built_warehouse


@pytest.fixture(scope="module")
def edited(built: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DbtCli]:
    """dbt with a copy of the project: columns added, dropped and retyped, a table, a seed row."""
    before = column_types(built, "conversions_daily")
    copy = tmp_path_factory.mktemp("project") / "dbt_project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs"))
    rollups = copy / "macros" / "rollups.sql"
    text = rollups.read_text()
    assert text.count("max(currency) as currency,") == text.count("    currency,\n") == 1
    text = text.replace(
        "max(currency) as currency,", "max(currency) as currency, max(source) as s,"
    )
    rollups.write_text(text.replace("    currency,\n", "    currency, s as source,\n"))
    columns = copy / "models" / "marts" / "rollups" / "_rollups.yml"
    declared = "      - {name: source, data_type: text, description: Where it is from.}\n"
    columns.write_text(columns.read_text().replace("    columns:\n", f"    columns:\n{declared}"))
    facts = copy / "models" / "marts" / "facts"
    model, declared = facts / "conversions_daily.sql", facts / "_conversions.yml"
    text = model.read_text()
    start, end = (
        text.index("    case\n        when conversions.types_present"),
        text.index("overlap,\n"),
    )
    text = text[:start] + text[end + len("overlap,\n") :]
    spread = "conversions.highest_value - conversions.lowest_value"
    assert text.count(spread) == 1
    model.write_text(text.replace(spread, f"({spread})::text"))
    text = declared.read_text()
    start = text.index("      - name: overlap\n")
    text = text[:start] + text[text.index("      - name: attribution_setting\n", start) :]
    retyped = "name: disagreement\n        data_type: numeric"
    assert text.count(retyped) == 1
    declared.write_text(text.replace(retyped, retyped.replace("numeric", "text")))
    (copy / "models" / "custom").mkdir()
    (copy / "models" / "custom" / "disagreements.sql").write_text(
        "select ad_id, disagreement from {{ ref('conversions_daily') }}"
    )
    (copy / "models" / "custom" / "spend_by_weekday.sql").write_text(TABLE)
    with (copy / "seeds" / "goal_conversions.csv").open("a") as seed:
        seed.write("sales,add_to_cart\n")
    start_server()  # as a run does: dbt is imported once for all of these tests' commands
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projects, "DBT_PROJECT_DIR", copy)
        projects.dbt_project.cache_clear()
        yield dbt_cli(projects.dbt_project())
    projects.dbt_project.cache_clear()
    built.dbt("seed", "--select", "goal_conversions")
    built.execute(
        "drop table if exists marts.spend_by_weekday cascade",
        "drop view if exists marts.disagreements",
    )
    built.dbt("build", "--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
    assert column_types(built, "conversions_daily") == before
    built.empty()


def finished(invocation: DbtCliInvocation) -> bool:
    return invocation.wait().is_successful()


def column_types(warehouse: Warehouse, table: str) -> dict[str, str]:
    """The columns of a mart."""
    rows = warehouse.rows(
        "select column_name as name, data_type as type from information_schema.columns"
        " where table_schema = 'marts' and table_name = %s",
        table,
    )
    return {row["name"]: row["type"] for row in rows}


def test_changed_columns_and_a_seed_row_reach_history(built: Warehouse, edited: DbtCli) -> None:
    # As if the analyst's view had been there before, with the column that goes.
    built.execute(
        "create view marts.disagreements as"
        " select ad_id, disagreement, overlap from marts.conversions_daily"
    )
    before = definition_of(built.database)
    assert outdated_windows(built.database) == []
    ensure_relations(edited, built.database, NEWEST)
    assert definition_of(built.database) != before
    # The run's date is built with its views; what it has not touched is marked.
    assert outdated_windows(built.database) == [DateWindow(EARLY, EARLY)]
    asked: list[DateWindow] = []
    rebuild_windows(edited, built.database, outdated_windows(built.database), asked.append)
    assert asked == [DateWindow(EARLY, EARLY)]
    assert outdated_windows(built.database) == []
    assert built.value("select count(*) from marts.ad_daily where source = 'insights'") == 2
    assert ensure_relations(edited, built.database, NEWEST) == []
    types = column_types(built, "conversions_daily")
    assert (types["disagreement"], "overlap" in types) == ("text", False)
    assert column_types(built, "disagreements") == {"ad_id": "text", "disagreement": "text"}
    assert built.value("select count(*) from marts.disagreements where disagreement = '0'") == 2


def test_a_table_of_an_analysts_own_is_an_asset_and_is_built(
    built: Warehouse, edited: DbtCli
) -> None:
    assets = [each for each in build_dbt_assets() if isinstance(each, dg.AssetsDefinition)]
    assert dg.AssetKey(["marts", "spend_by_weekday"]) in assets[0].keys
    table = "marts.spend_by_weekday"
    built.execute(
        "create view marts.mine as select sum(spend) as spend from marts.spend_by_weekday"
    )
    try:
        assert str(built.value("select spend from marts.mine")) == "5.00"
        built.pull(DAY, AdDay("1", {9: ("4.00", 10, 1)}))
        window = DateWindow(DAY, DAY)
        rebuild_windows(edited, built.database, [window])
        assert str(built.value("select spend from marts.mine")) == "6.50", "read by its view still"
        assert built.rows(f"select * from {table}")
    finally:
        built.execute("drop view marts.mine")


def test_what_a_full_refresh_took_along_is_built_again(built: Warehouse, edited: DbtCli) -> None:
    with edited.running(
        ["build", "--full-refresh", "--select", "adset_daily", "--exclude-resource-type", "test"]
    ) as build:
        assert finished(build)
    lost = missing_relations(built.database, dbt_manifest())
    assert {"fact_definitions", "budget_pacing"} <= set(lost)
    assert ensure_relations(edited, built.database, NEWEST) == lost
    assert missing_relations(built.database, dbt_manifest()) == []
    assert built.rows("select * from marts.fact_definitions")


def test_an_index_that_a_model_declares_is_made(built: Warehouse, edited: DbtCli) -> None:
    (name,) = (
        row["indexname"]
        for row in built.rows(
            "select indexname from pg_indexes where schemaname = 'marts' and tablename = 'ad_daily'"
            " and indexdef like '%%(ad_id, event_date)'"
        )
    )
    built.execute(f'drop index marts."{name}"')
    manifest = dbt_manifest()
    assert make_missing_indexes(built.database, manifest) == ["marts.ad_daily (ad_id, event_date)"]
    assert make_missing_indexes(built.database, manifest) == []


def test_a_goal_that_changed_makes_its_dates_outdated(built: Warehouse, edited: DbtCli) -> None:
    assert outdated_windows(built.database) == []
    built.entity("campaigns", "21", "1", {"objective": "OUTCOME_LEADS"})
    assert [each.start for each in outdated_windows(built.database)] == [DAY, EARLY]
    within = DateWindow(EARLY, EARLY + timedelta(days=1))
    assert outdated_windows(built.database, within) == [DateWindow(EARLY, EARLY)]
    rebuild_windows(edited, built.database, outdated_windows(built.database))
    assert outdated_windows(built.database) == []
    assert {row["goal"] for row in built.rows("select goal from marts.metric_facts")} == {"leads"}
