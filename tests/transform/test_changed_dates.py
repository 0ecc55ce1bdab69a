"""A date is built again when anything it is made of, or what was built of it, is another."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.transform.changed_dates import (
    changed_dates,
    is_undated_as_built,
    read_inputs,
    remember_built,
)
from meta_ads_pipeline.windows import DateWindow

FIRST = date(2026, 11, 17)
WINDOW = DateWindow(FIRST, FIRST + timedelta(days=3))
SECOND, THIRD = WINDOW.dates[1:3]
WORKSPACE = "00000000-0000-0000-0000-000000000001"


def changed(database: Database) -> list[date]:
    """What a build of the window would have to look at."""
    return changed_dates(database, WINDOW, read_inputs(database, WINDOW))


@pytest.fixture
def built(built_database: Database) -> Database:
    """A database whose window was built, as far as anybody knows, with a day's facts."""
    with built_database.connect() as connection:
        connection.execute(
            "insert into control.ad_accounts (account_id, workspace_id, name, currency, timezone,"
            " account_status) values ('1', %s, 'Test', 'EUR', 'UTC', 1)",
            [WORKSPACE],
        )
        for asset in ("insights_hourly", "insights_daily", "account_totals"):
            connection.execute(
                "insert into control.slices (account_id, partition_date, asset, status, sync_id,"
                " pulled_at) select '1', d::date, %s, 'done', 's', d::date + interval '40 hours'"
                " from generate_series(%s::timestamp, %s::timestamp, interval '1 day') as d",
                [asset, WINDOW.start, WINDOW.end],
            )
    remember_built(built_database, WINDOW, read_inputs(built_database, WINDOW))
    return built_database


def run(database: Database, statement: str, *parameters: object) -> None:
    with database.connect() as connection:
        assert connection.execute(statement, parameters).rowcount > 0


def test_what_was_never_built_is(built_database: Database) -> None:
    assert changed(built_database) == WINDOW.dates


def test_nothing_new_is_nothing_changed(built: Database) -> None:
    assert changed(built) == []


@pytest.mark.parametrize(
    "statement",
    [
        "insert into control.check_results (account_id, event_date, asset, check_name, status,"
        " severity, run_id, last_checked_at) values ('1', %s, 'raw/insights_daily', 'values',"
        " 'failed', 'block', 'r', now())",
        "update control.slices set pulled_at = pulled_at - interval '20 hours'"
        " where partition_date = %s",
        "insert into raw.account_totals (account_id, event_date, timezone, currency, spend,"
        " api_version, pulled_at) values ('1', %s, 'UTC', 'EUR', 1, 'v26.0', now())",
        "update control.slices set attribution_windows = array['1d_view']"
        " where partition_date = %s",
        "delete from control.slices where partition_date = %s and asset = 'insights_daily'",
        "delete from control.built_dates where event_date = %s",
        "insert into marts.reconciliation (workspace_id, account_id, event_date, measure, status,"
        f" tolerance, is_complete, is_settled) values ('{WORKSPACE}', '1', %s, 'spend',"
        " 'reconciled', 0, true, false)",
    ],
)
def test_a_date_whose_state_or_tables_are_others(built: Database, statement: str) -> None:
    run(built, statement, SECOND)
    assert changed(built) == [SECOND]


def test_another_pull_of_the_same_is_no_change(built: Database) -> None:
    run(built, "update control.slices set pulled_at = pulled_at + interval '1 hour'")
    assert changed(built) == []


def test_an_account_that_changes_is_on_every_date(built: Database) -> None:
    run(built, "update control.ad_accounts set currency = 'USD'")
    assert changed(built) == WINDOW.dates


def test_an_hour_more_that_may_be_judged_is_a_change(built: Database) -> None:
    pulled_at = "update control.slices set pulled_at = partition_date + interval '%s minutes'"
    run(built, pulled_at % (14 * 60 + 5))
    remember_built(built, WINDOW, read_inputs(built, WINDOW))
    run(built, pulled_at % (14 * 60 + 20))
    assert changed(built) == []
    run(built, pulled_at % (15 * 60 + 5))
    assert changed(built) == WINDOW.dates


@pytest.mark.parametrize(
    "statement",
    [
        "insert into raw.ads (id, account_id, name, status, effective_status, adset_id,"
        " campaign_id, document, document_hash, first_seen_at, changed_at, pulled_at)"
        " values ('3', '1', 'Ad',"
        " 'ACTIVE', 'ACTIVE', '2', '1', '{}', '', now(), now(), now())",
        "insert into marts.entities (workspace_id, provider, account_id, level, external_entity_id,"
        " entity_id, is_deleted, first_seen_at, changed_at)"
        f" values ('{WORKSPACE}', 'meta', '1', 'ad', '3', gen_random_uuid(), false, now(), now())",
        "update control.built_dates set undated = null where event_date = '2026-11-18'",
    ],
)
def test_what_has_no_date_is_looked_at_as_well(built: Database, statement: str) -> None:
    assert is_undated_as_built(built, WINDOW, read_inputs(built, WINDOW))
    run(built, statement)
    assert changed(built) == []
    assert not is_undated_as_built(built, WINDOW, read_inputs(built, WINDOW))


def test_what_lands_while_the_marts_are_built_is_not_taken_for_built(built: Database) -> None:
    before = read_inputs(built, WINDOW)
    run(
        built,
        "insert into raw.campaigns (id, account_id, name, status, effective_status, objective,"
        " document, document_hash, first_seen_at, changed_at, pulled_at) values ('1', '1', 'C',"
        " 'ACTIVE', 'ACTIVE', 'OUTCOME_SALES', '{}', '', now(), now(), now())",
    )
    remember_built(built, WINDOW, before)
    assert not is_undated_as_built(built, WINDOW, read_inputs(built, WINDOW))
