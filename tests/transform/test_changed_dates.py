"""A date is built again when anything it is made of, or what was built of it, is another."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.transform.changed_dates import (
    changed_dates,
    input_digests,
    remember_built,
)
from meta_ads_pipeline.windows import DateWindow

FIRST = date(2026, 11, 17)
WINDOW = DateWindow(FIRST, FIRST + timedelta(days=3))
SECOND, THIRD = WINDOW.dates[1:3]
WORKSPACE = "00000000-0000-0000-0000-000000000001"


def changed(database: Database) -> list[date]:
    """What a build of the window would have to look at."""
    return changed_dates(database, WINDOW, input_digests(database, WINDOW))


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
    remember_built(built_database, WINDOW, input_digests(built_database, WINDOW))
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
