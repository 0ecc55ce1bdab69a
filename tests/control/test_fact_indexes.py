"""Readers of marts.metric_facts find what they ask for by an index, in the months they name."""

from __future__ import annotations

import pytest

from meta_ads_pipeline.control.database import Database

DATES = "event_date between '2026-11-03' and '2026-11-09'"
ID = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def two_months(database: Database) -> Database:
    with database.connect() as connection:
        connection.execute(
            "select control.ensure_month_partitions('marts.metric_facts', '2026-10-01',"
            " '2026-11-30')"
        )
    return database


def plan(database: Database, where: str) -> str:
    with database.connect() as connection:
        # The tables are empty: without this a scan of nothing is the cheapest.
        connection.execute("set local enable_seqscan = off")
        rows = connection.execute(
            f"explain select sum(spend) from marts.metric_facts where {where}".encode()
        ).fetchall()
    return "\n".join(row["QUERY PLAN"] for row in rows)


@pytest.mark.parametrize(
    ("where", "by"),
    [
        (f"entity_id = '{ID}' and {DATES}", "entity_id = "),
        (f"workspace_id = '{ID}' and {DATES}", "workspace_id = "),
        (f"account_id = '1' and {DATES}", "account_id = "),
        (f"natural_key = '1-2026-11-03' and {DATES}", "natural_key = "),
    ],
)
def test_an_index_serves(two_months: Database, where: str, by: str) -> None:
    said = plan(two_months, where)
    conditions = [line for line in said.splitlines() if "Index Cond" in line]
    assert conditions, said
    assert all(by in line and "event_date" in line for line in conditions), said


@pytest.mark.parametrize("where", [DATES, f"provider = 'google' and {DATES}"])
def test_dates_are_read_from_their_months(two_months: Database, where: str) -> None:
    said = plan(two_months, where)
    assert "metric_facts_202611" in said
    assert "metric_facts_202610" not in said


def test_a_natural_key_is_there_once(two_months: Database) -> None:
    with two_months.connect() as connection:
        rows = connection.execute(
            "select indexdef from pg_indexes where schemaname = 'marts'"
            " and tablename = 'metric_facts' and indexdef like '%%UNIQUE%%'"
        ).fetchall()
    assert [row["indexdef"].split("USING ")[1] for row in rows] == [
        "btree (natural_key, event_date)"
    ]
