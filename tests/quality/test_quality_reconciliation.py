"""Reconciliation: what differs fails and is pulled again; what is called equal must be equal."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.quality.reconciliation import (
    FIRST_RETRY,
    LONGEST_RETRY,
    RECONCILED_ASSETS,
    check_reconciliation,
    is_honest,
    judge,
)
from meta_ads_pipeline.quality.scope import CheckScope
from tests.quality.landing import DAYS, FIRST_DAY, MEASURES, Landing

BAD = "account_id = '1' and event_date = '2026-03-03' and measure = 'spend'"


def slices(landing: Landing, where: str = "true") -> list[dict[str, Any]]:
    return landing.fetch(
        "select *, next_attempt_at - now() as delay from control.slices"
        f" where {where} order by account_id, partition_date, asset"
    )


def test_agreeing_account_days_pass_and_change_nothing(world: Landing, scope: CheckScope):
    before = landing_state(world)
    found = check_reconciliation(world.database, scope)
    assert found.passed
    assert found.description() == "6 of 6 account-days agree across the three pulls"
    assert found.metadata()["account_days_reconciled"] == 6
    assert landing_state(world) == before


def landing_state(landing: Landing) -> list[dict[str, Any]]:
    return landing.fetch("select * from control.slices order by account_id, partition_date, asset")


def test_a_mismatch_fails_and_only_its_pulls_are_made_again(world: Landing, scope: CheckScope):
    world.execute(
        "update marts.reconciliation set status = 'mismatch', hourly_total = 8, delta = -2,"
        f" reason = 'hours are -2 off the account total' where {BAD}"
    )
    found = check_reconciliation(world.database, scope)
    assert not found.passed
    assert dict(found.statuses) == {"reconciled": 5, "mismatch": 1}
    metadata = found.metadata()
    assert metadata["bad_days"] == "2026-03-03"
    (worst,) = metadata["worst_account_days"].records
    assert worst.data["off by"] == "-2 (-20.0%)"
    assert (worst.data["hours"], worst.data["account total"]) == ("8", "10.00")
    assert found.description().endswith("most off: act_1 on 2026-03-03, spend -2 (-20.0%)")
    marked = slices(world, "status = 'mismatched'")
    assert [(s["account_id"], s["partition_date"], s["asset"]) for s in marked] == [
        ("1", DAYS[1], asset) for asset in sorted(RECONCILED_ASSETS)
    ]
    assert marked[0]["error_message"] == "spend: hours are -2 off the account total"
    assert FIRST_RETRY - timedelta(minutes=1) < marked[0]["delay"] <= FIRST_RETRY


def test_a_second_evaluation_changes_nothing(world: Landing, scope: CheckScope):
    world.execute(f"update marts.reconciliation set status = 'mismatch' where {BAD}")
    check_reconciliation(world.database, scope)
    before = landing_state(world)
    assert not check_reconciliation(world.database, scope).passed
    assert landing_state(world) == before


def test_once_they_agree_the_slices_are_done_again(world: Landing, scope: CheckScope):
    world.execute(f"update marts.reconciliation set status = 'mismatch' where {BAD}")
    check_reconciliation(world.database, scope)
    world.execute(f"update marts.reconciliation set status = 'within_tolerance' where {BAD}")
    world.execute(f"update marts.reconciliation set is_settled = false where {BAD}")
    assert check_reconciliation(world.database, scope).passed
    assert {s["status"] for s in slices(world)} == {"done"}
    again = slices(world, "account_id = '1' and asset = 'insights_daily'")
    assert {(s["next_attempt_at"], s["error_kind"]) for s in again} == {(None, None)}


@pytest.mark.parametrize(
    ("attempts", "delay"),
    [(0, FIRST_RETRY), (2, 2 * FIRST_RETRY), (4, 8 * FIRST_RETRY), (50, LONGEST_RETRY)],
)
def test_a_mismatch_that_persists_waits_longer(
    world: Landing, scope: CheckScope, attempts: int, delay: timedelta
):
    world.execute(f"update marts.reconciliation set status = 'mismatch' where {BAD}")
    world.execute("update control.slices set attempts = %s", [attempts])
    check_reconciliation(world.database, scope)
    marked = slices(world, "status = 'mismatched'")
    assert delay - timedelta(minutes=1) < marked[0]["delay"] <= delay


def test_slices_that_are_running_or_failed_are_left_alone(world: Landing, scope: CheckScope):
    world.execute(f"update marts.reconciliation set status = 'mismatch' where {BAD}")
    world.execute("update control.slices set status = 'running' where asset = 'insights_hourly'")
    world.execute("update control.slices set status = 'failed' where asset = 'account_totals'")
    check_reconciliation(world.database, scope)
    marked = slices(world, "status = 'mismatched'")
    assert [s["asset"] for s in marked] == ["insights_daily"]


def test_an_incomplete_account_day_fails_but_has_nothing_to_compare(world, scope: CheckScope):
    world.execute(f"update marts.reconciliation set status = 'incomplete' where {BAD}")
    found = check_reconciliation(world.database, scope)
    assert not found.passed
    assert found.statuses["incomplete"] == 1
    assert {s["status"] for s in slices(world)} == {"done"}


@pytest.mark.parametrize(
    "change",
    [
        "set hourly_total = 9.99",
        "set ad_daily_total = 10.01",
        "set account_total = null",
        "set status = 'within_tolerance', tolerance = 5",  # a settled date has no tolerance
        "set status = 'within_tolerance', is_settled = false, hourly_total = 4, tolerance = 5",
    ],
)
def test_a_row_that_claims_to_agree_and_does_not(world: Landing, scope: CheckScope, change: str):
    world.execute(f"update marts.reconciliation {change} where {BAD}")
    found = check_reconciliation(world.database, scope)
    assert not found.passed
    assert "what is called agreeing differs by no more than it may" in found.violations.errors
    assert len(slices(world, "status = 'mismatched'")) == 3


def test_a_pulled_account_day_that_was_never_compared(world: Landing, scope: CheckScope):
    world.execute("delete from marts.reconciliation where account_id = '2'")
    world.execute(f"delete from marts.reconciliation where {BAD}")  # one measure of a day
    found = check_reconciliation(world.database, scope)
    assert not found.passed
    assert found.absent == [("1", DAYS[1]), *(("2", day) for day in DAYS)]
    assert "4 pulled ones are missing" in found.description()


def test_an_unknown_status_or_a_doubled_row_fails(world: Landing, scope: CheckScope):
    world.execute("insert into marts.reconciliation table marts.reconciliation")
    found = check_reconciliation(world.database, scope)
    assert found.violations.errors["one row per account_id, event_date, measure"] == 84
    world.execute("update marts.reconciliation set status = 'fine'")
    assert found.passed is False
    assert check_reconciliation(world.database, scope).statuses == {"fine": 6}


CENTS = st.integers(-(10**9), 10**9).map(lambda cents: Decimal(cents) / 100)


@given(CENTS, CENTS, st.one_of(st.none(), CENTS), st.decimals(0, 10, places=2), st.booleans())
def test_honesty_is_arithmetic(account, daily, hourly, tolerance, settled):
    totals = {"account_total": account, "ad_daily_total": daily, "hourly_total": hourly}
    row = {**totals, "tolerance": tolerance, "is_settled": settled}
    distance = max(abs(daily - account), abs(hourly - account) if hourly is not None else 0)
    assert is_honest(row | {"status": "reconciled"}) == (distance == 0)
    within = is_honest(row | {"status": "within_tolerance"})
    assert within == (distance <= tolerance and not settled)
    assert is_honest(row | {"status": "mismatch"})


def test_the_worst_come_first():
    def row(measure: str, total: str, delta: str) -> dict[str, Any]:
        return {
            **{"account_id": "1", "event_date": FIRST_DAY, "measure": measure},
            **{"hourly_total": Decimal(total), "ad_daily_total": Decimal(total)},
            **{"account_total": Decimal(total), "delta": Decimal(delta), "status": "mismatch"},
            **{"tolerance": Decimal(0), "reason": None, "is_settled": True},
        }

    rows = [row(MEASURES[0], "1000", "1"), row(MEASURES[1], "10", "5"), row(MEASURES[2], "0", "2")]
    worst = judge(rows, []).worst
    assert [w["measure"] for w in worst] == ["clicks", "impressions", "spend"]
