"""Six weeks of schedules with ten days without any, followed by one held day and one half day.

The daily refresh and the sensor that fills gaps decide what is pulled, by their own code; pulls
land by SQL, dbt builds, the checks look. Mornings on which nothing becomes of the two days are left
out. Each evening their state is taken from the view, `meta-ads status`, `marts.freshness` and the
rollup: they never differ. ``python -m benchmarks six_weeks`` does it with the whole job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from meta_ads_pipeline.automation.sensors import GAP_ACCOUNT_DAYS
from meta_ads_pipeline.automation.windows import recent_window
from meta_ads_pipeline.cli.status import read_status
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.gaps import find_gaps, next_batch
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.quality.catalogue import rule_of
from meta_ads_pipeline.quality.runner import run_check
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.windows import DateWindow

from .warehouse import AdDay, Warehouse

pytestmark = pytest.mark.slow

ACCOUNT = Account("1", "Europe/Berlin", "EUR", "Test")
FIRST = date(2026, 3, 2)
HELD = FIRST + timedelta(days=8)
"""The account's total is 5 off, until Meta puts it right on `RELEASED`."""
HALF = FIRST + timedelta(days=12)
"""Pulled at noon; nothing runs from then on for ten days."""
OUTAGE = range(13, 23)
RELEASED = FIRST + timedelta(days=27)
WEEKS_6 = 42
MORNINGS = (8, 9, 10, 23, 27, 36, 37, 40, 41)
"""Days after `FIRST` with a run: around each change of a state."""


@dataclass(frozen=True)
class Evening:
    """What is said of the two days, and of the check."""

    day: date
    held: str
    half: str
    check_passed: bool


def pull(warehouse: Warehouse, day: date, at: datetime) -> None:
    """What Meta says at that moment: a running day has half of it, a young one lacks a click."""
    age = (at.date() - day).days
    clicks = 1 if age < 20 else 2
    hours = {9: ("2.50", 10, clicks)}
    if age > 0:
        hours[18] = ("2.50", 10, clicks)
    is_off = day == HELD and at.date() < RELEASED
    spend = sum((Decimal(hour[0]) for hour in hours.values()), Decimal(5 if is_off else 0))
    warehouse.pull(day, AdDay("1", hours), account_spend=str(spend), pulled_at=at)


def run(warehouse: Warehouse, dates: Sequence[date], at: datetime) -> bool:
    """A run over dates: pulls, the marts, the check; whether it shows green."""
    for day in dates:
        pull(warehouse, day, at)
    window = DateWindow(min(dates), max(dates))
    built = warehouse.dbt(
        *("run", "--select", "int_meta__conversions", "reconciliation", "metric_facts"),
        *("account_daily", "--event-time-start", str(window.start)),
        *("--event-time-end", str(window.half_open_end)),
    )
    assert built.success, built.exception
    asset = "marts/reconciliation"
    scope = CheckScope(window, (ACCOUNT,), at, run_id=f"run {at}")
    rule = rule_of(asset, "reconciliation")
    return run_check(warehouse.database, rule, asset, scope).passed


def dates_of(warehouse: Warehouse, number: int, morning: datetime) -> list[date]:
    """What is pulled: by the schedule, but after the outage by the sensor, which is first."""
    if number != OUTAGE.stop:
        return [day for day in recent_window([ACCOUNT], morning).dates if day >= FIRST]
    gaps = find_gaps(warehouse.database, morning)
    batch = next_batch([gap for gap in gaps if gap.asset in INSIGHTS_TABLES], GAP_ACCOUNT_DAYS)
    assert batch is not None
    assert batch.start <= HALF < batch.end
    return DateWindow(batch.start, batch.end).dates


def said(warehouse: Warehouse, now: datetime) -> tuple[dict[date, str], list[Any], dict[str, Any]]:
    """States by the view, what `status` lists, and freshness, at a simulated moment."""
    with warehouse.database.connect() as connection:
        connection.execute(
            f"alter database {connection.info.dbname} set meta_ads.now = '{now.isoformat()}'"
        )
    states = {
        row["event_date"]: row["state"]
        for row in warehouse.rows("select event_date, state from control.account_days")
    }
    (freshness,) = warehouse.rows("select * from marts.freshness")
    return states, read_status(warehouse.database)["account_days"], freshness


@pytest.fixture
def simulated(warehouse: Warehouse) -> Iterator[Warehouse]:
    """The warehouse with a clock of its own, which is taken from it again."""
    yield warehouse
    with warehouse.database.connect() as connection:
        connection.execute(f"alter database {connection.info.dbname} reset meta_ads.now")


def test_a_held_and_a_half_day_end_settled_to_the_cent(
    simulated: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse = simulated
    warehouse.account()
    evenings: list[Evening] = []
    green = True
    for number in range(8, WEEKS_6 + 1):
        today = FIRST + timedelta(days=number)
        morning = datetime(today.year, today.month, today.day, 5, 20, tzinfo=UTC)
        if number in MORNINGS:
            green = run(warehouse, dates_of(warehouse, number, morning), morning)
        if today == HALF:
            pull(warehouse, today, morning + timedelta(hours=6))
        states, listed, freshness = said(warehouse, morning + timedelta(hours=14))
        in_status = {day for row in listed for day in row["dates"].split(", ")}
        for day in (HELD, HALF):
            state = states.get(day, "")
            is_final = state in ("", "open", "complete", "settled")
            assert (str(day) in in_status) is not is_final, (today, day, state)
        assert (str(HELD) in (freshness["held_dates"] or "")) is (states.get(HELD) == "held")
        assert (str(HALF) in (freshness["incomplete_dates"] or "")) is (
            states.get(HALF) == "incomplete"
        )
        if states.get(HELD) == "held":
            assert not green, "held, and the check is green"
        evenings.append(Evening(today, states.get(HELD, "-"), states.get(HALF, "-"), green))
    with capsys.disabled():
        print("\nevening     held day    half day    check")
        for evening in evenings:
            colour = "green" if evening.check_passed else "red"
            print(f"{evening.day}  {evening.held:<10}  {evening.half:<10}  {colour}")

    by_day = {evening.day: evening for evening in evenings}
    assert by_day[HELD + timedelta(days=2)].held == "held"
    assert by_day[RELEASED - timedelta(days=1)].held == "held"
    assert by_day[RELEASED].held == "complete"
    assert by_day[HALF + timedelta(days=10)].half == "incomplete"
    assert by_day[HALF + timedelta(days=11)].half == "complete"
    last = evenings[-1]
    assert (last.held, last.half, last.check_passed) == ("settled", "settled", True)
    rows = warehouse.rows(
        "select event_date, spend, clicks, is_settled, is_reconciled from marts.account_daily"
        " where event_date = any(%s) order by event_date",
        [HELD, HALF],
    )
    assert [tuple(row.values()) for row in rows] == [
        (day, Decimal("5.00"), 4, True, True) for day in (HELD, HALF)
    ]
    assert (
        warehouse.rows(
            "select status from marts.reconciliation where is_settled and status <> 'reconciled'"
        )
        == []
    )
