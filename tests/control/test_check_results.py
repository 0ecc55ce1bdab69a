"""Results of checks: one per account, date and check; failing is counted, passing clears it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.control.check_results import (
    DayResult,
    Status,
    blocked_days,
    failing_checks,
    record_results,
)
from meta_ads_pipeline.control.database import Database

DAY = date(2026, 10, 1)
AT = datetime(2026, 10, 2, 6, tzinfo=UTC)
CHECK = ("raw/insights_hourly", "schema")


def look(
    database: Database,
    status: Status,
    hours: float,
    run: str | None = None,
    day: date | None = DAY,
    **options: Any,
) -> dict[str, Any]:
    """Record a result ``hours`` after the first look; the row as it then stands."""
    result = DayResult("1", day, status, 3, "spend -1", "spend is not negative", "3 rows")
    record_results(
        database,
        options.get("check", CHECK),
        options.get("severity", "block"),
        [result if status != "passed" else DayResult("1", day, "passed")],
        run_id=run or f"run {hours}",
        at=AT + timedelta(hours=hours),
    )
    with database.connect() as connection:
        (row,) = connection.execute(
            "select * from control.check_results where event_date is not distinct from %s", [day]
        ).fetchall()
    return row


def test_failing_is_counted_by_run_and_passing_clears_it_but_not_when_it_last_failed(
    database: Database,
):
    first = look(database, "failed", 0, "a")
    assert (first["times_failed"], first["first_failed_at"], first["violations"]) == (1, AT, 3)
    again = look(database, "failed", 1, "a")  # the same run: one look
    assert (again["times_failed"], again["last_failed_at"]) == (1, AT + timedelta(hours=1))
    assert look(database, "warned", 2)["times_failed"] == 2
    passed = look(database, "passed", 3)
    assert (passed["status"], passed["times_failed"], passed["first_failed_at"]) == (
        "passed",
        0,
        None,
    )
    assert passed["last_failed_at"] == AT + timedelta(hours=2)
    assert (passed["message"], passed["observed"]) == (None, None)
    relapse = look(database, "failed", 5)
    assert (relapse["times_failed"], relapse["first_failed_at"]) == (1, AT + timedelta(hours=5))


def test_a_pass_and_a_failure_in_one_run_count_the_failure(database: Database):
    look(database, "passed", 0, "a")
    assert look(database, "failed", 1, "a")["times_failed"] == 1


def test_an_older_look_never_replaces_a_newer_one(database: Database):
    look(database, "passed", 5)
    assert look(database, "failed", 1)["status"] == "passed"


def test_results_without_a_date_are_one_row_for_each_account(database: Database):
    look(database, "failed", 0, day=None)
    assert look(database, "failed", 1, day=None)["times_failed"] == 2


@pytest.mark.parametrize(
    ("asset", "severity", "status", "holds"),
    [
        ("raw/insights_hourly", "block", "failed", True),
        ("raw/insights_hourly", "block", "warned", False),
        ("raw/insights_hourly", "block", "passed", False),
        ("raw/insights_hourly", "warn", "failed", False),
        ("raw/insights_daily", "inform", "failed", False),
        ("marts/reconciliation", "block", "failed", False),  # each build judges it anew
    ],
)
def test_only_failed_blocking_checks_of_landed_rows_hold_back(
    database: Database, asset: str, severity: str, status: Status, holds: bool
):
    look(database, status, 0, check=(asset, "schema"), severity=severity)
    held = blocked_days(database, ["1"], DAY, DAY)
    assert held == ({("1", DAY): f"{asset} schema: 3 rows"} if holds else {})
    assert blocked_days(database, ["2"], DAY, DAY) == {}
    assert blocked_days(database, ["1"], DAY + timedelta(days=1), DAY + timedelta(days=9)) == {}


def test_what_fails_long_enough_is_listed_by_account_and_check(database: Database):
    with database.connect() as connection:
        save_accounts(connection, [Account("1", "UTC", "EUR")])
    days = [DAY, DAY + timedelta(days=1)]
    for hours in (0, 12, 30):
        for day in days:
            look(database, "failed", hours, day=day)
    look(database, "warned", 0, day=DAY + timedelta(days=2))
    (found,) = failing_checks(database, looks=3, span=timedelta(hours=24))
    assert (found.account_id, found.asset, found.check) == ("1", *CHECK)
    assert (found.days, found.times_failed, found.message) == (tuple(days), 3, "3 rows")
    assert failing_checks(database, looks=4) == []
    assert failing_checks(database, looks=3, span=timedelta(hours=31)) == []
    look(database, "passed", 31, day=days[0])
    (found,) = failing_checks(database, looks=3, span=timedelta(hours=24))
    assert found.days == (days[1],)


def test_accounts_that_are_not_synced_any_more_do_not_count(database: Database):
    look(database, "failed", 0)
    assert failing_checks(database) == []
