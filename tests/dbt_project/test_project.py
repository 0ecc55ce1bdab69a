"""The project as a whole: it builds, what it promises is documented, its own tests can fail."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner

from .warehouse import PROJECT, TABLES_AND_VIEWS, AdDay, Warehouse, failures

DAY = date(2026, 11, 19)

METRIC_FACTS = (
    "natural_key text, workspace_id uuid, provider text, account_id text, level text,"
    " external_entity_id text, entity_id uuid, campaign_id text, adset_id text, ad_id text,"
    " grain text, event_at timestamp with time zone, event_date date, event_hour smallint,"
    " timezone text, currency text, goal text, spend numeric, impressions bigint, clicks bigint,"
    " link_clicks bigint, purchases numeric, revenue numeric, leads numeric, conversions numeric,"
    " is_settled boolean, source text, pulled_at timestamp with time zone"
)


def test_metric_facts_has_the_agreed_columns(warehouse: Warehouse) -> None:
    columns = warehouse.rows(
        "select column_name, data_type from information_schema.columns"
        " where table_schema = 'marts' and table_name = 'metric_facts' order by ordinal_position"
    )
    found = ", ".join(f"{row['column_name']} {row['data_type']}" for row in columns)
    assert found == METRIC_FACTS


def test_every_column_is_described_in_postgres(warehouse: Warehouse) -> None:
    undescribed = warehouse.rows(
        "select c.table_schema || '.' || c.table_name || '.' || c.column_name as column"
        " from information_schema.columns as c"
        " where c.table_schema in ('staging', 'marts')"
        "   and col_description(format('%%I.%%I', c.table_schema, c.table_name)::regclass,"
        "     c.ordinal_position) is null"
    )
    assert undescribed == []
    assert warehouse.value(
        "select obj_description('marts.reconciliation'::regclass) like 'The proof.%%'"
    )


def test_descriptions_are_written_only_where_they_differ(warehouse: Warehouse) -> None:
    described = (
        "select objsubid, description, xmin::text from pg_description"
        " where objoid = 'marts.reach'::regclass and classoid = 'pg_class'::regclass order by 1"
    )
    before = warehouse.rows(described)
    assert len(before) > 20
    warehouse.build(DAY, tests=False, models="reach")
    assert warehouse.rows(described) == before
    warehouse.execute(
        "comment on table marts.reach is null", "comment on column marts.reach.reach is 'another'"
    )
    warehouse.build(DAY, tests=False, models="reach")
    texts = [(row["objsubid"], row["description"]) for row in warehouse.rows(described)]
    assert texts == [(row["objsubid"], row["description"]) for row in before]


def test_parses_without_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE", "SSLMODE"):
        monkeypatch.delenv(f"META_ADS_DBT_{name}", raising=False)
    places = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    result = dbtRunner().invoke(["parse", *places, "--target-path", str(tmp_path), "--quiet"])
    assert result.success, result.exception


def test_readers_keep_their_views(warehouse: Warehouse) -> None:
    """A view of an analyst's own, on a mart and on a staging view, survives every build."""
    warehouse.execute(
        "create schema mine",
        "create view mine.spend as select event_date, spend from marts.account_daily",
        "create view mine.late as select account_id from marts.freshness where is_late",
        "create view mine.names as select name from marts.dim_campaigns",
    )
    try:
        warehouse.account()
        warehouse.pull(DAY, AdDay("1", {9: ("2.50", 10, 1)}))
        warehouse.build(DAY, models=TABLES_AND_VIEWS)
        assert str(warehouse.value("select spend from mine.spend")) == "2.50"
        assert warehouse.rows("select * from mine.late, mine.names") is not None
    finally:
        warehouse.execute("drop schema mine cascade")


DAMAGES = (
    (
        "update marts.metric_facts set purchases = 1 where grain = 'hour'",
        "each_measure_on_one_grain",
        "update marts.metric_facts set purchases = null where grain = 'hour'",
    ),
    (
        "update raw.account_totals set account_id = 'unknown'",
        "pulled_accounts_are_known",
        "update raw.account_totals set account_id = '1'",
    ),
)


def test_data_tests_find_damage(warehouse: Warehouse) -> None:
    warehouse.account()
    warehouse.pull(DAY, AdDay("1", {9: ("2.50", 10, 1)}))
    warehouse.build(DAY, tests=False)  # all of them run at the end
    for damage, test, repair in DAMAGES:
        warehouse.execute(damage)
        found = warehouse.dbt("test", "--select", test)
        assert not found.success, f"{test} does not see: {damage}"
        assert test in failures(found)
        warehouse.execute(repair)
    assert warehouse.dbt("test").success
