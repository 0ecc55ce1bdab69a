"""The shared budget: smooth, in order of priority, in the headers' own units."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.control.alerts import list_open_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.meta_api.priority import (
    Priority,
    calls_of_priority,
    current_priority,
)
from meta_ads_pipeline.meta_api.usage import Usage, UseCaseUsage, parse_usage
from meta_ads_pipeline.meta_api.waiting import carried
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from meta_ads_pipeline.rate_limit.store import BudgetKey
from tests.rate_limit.limiters import (
    INSIGHTS,
    MANAGEMENT,
    MakeRateLimiter,
    call,
    wait_of,
)
from tests.virtual_clock import VirtualClock


@given(st.lists(st.floats(0, 1.2), min_size=2, max_size=2), st.floats(1, 3600))
def test_pauses_grow_without_a_step(loads: list[float], span: float) -> None:
    rules = BudgetRules()
    low, high = sorted(loads)
    assert 0 <= rules.pause(low, span) <= rules.pause(high, span) <= min(60.0, span / 60)
    assert rules.pause(min(low + 0.01, 1), span) - rules.pause(min(low, 1), span) < 5


def test_calls_are_spaced_wider_and_wider_up_to_the_ceiling(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock
) -> None:
    """A limit of 1,000 calls an hour, counted by the test as Meta would."""
    rate_limiter = make_rate_limiter()
    moments: list[float] = []

    def percent() -> float:
        return sum(moment > clock() - 3600 for moment in moments) / 10

    gaps = []
    while len(moments) < 1500:
        gaps.append(call(rate_limiter, clock, usage=Usage(insights_account_percent=percent())))
        moments.append(clock())
        assert percent() <= 90.1
    assert max(gaps[:500]) == 0  # nothing waits while there is plenty
    assert sum(gaps[850:900]) > sum(gaps[700:750]) > sum(gaps[560:610])
    # In the long run it keeps the rate that Meta allows, without a long stop anywhere.
    assert max(gaps) <= 60
    assert percent() > 70


def test_lower_priorities_stop_earlier_and_leave_headroom(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock
) -> None:
    rate_limiter = make_rate_limiter()
    call(rate_limiter, clock, usage=Usage(insights_account_percent=79))
    waits = {}
    for priority in Priority:
        with calls_of_priority(priority):
            rate_limiter._store.claim_pace(BudgetKey("app", "1", "ads_insights"), 0.0, 0.0)
            before = clock()
            wait = wait_of(rate_limiter)
            clock.now = before
            waits[priority] = wait
    assert waits[Priority.TODAY] < waits[Priority.YESTERDAY] < waits[Priority.RESTATEMENT]
    assert waits[Priority.RESTATEMENT] < waits[Priority.BACKFILL]
    # 79 % is over what a backfill may use (63 %): it stops until the hour has moved on.
    assert waits[Priority.BACKFILL] > 600


def test_another_process_knows_within_a_second(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock
) -> None:
    one, other = make_rate_limiter(), make_rate_limiter("c2")
    assert call(other, clock) == 0
    call(one, clock, usage=Usage(insights_account_percent=95))
    one.flush()
    clock.now += 1.1
    assert call(other, clock) > 60
    assert call(other, clock, account="2") == 0
    assert call(other, clock, use_case=MANAGEMENT) == 0


def test_units_of_the_headers(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock, database: Database
) -> None:
    """An account's score resets in seconds; a use case regains in minutes."""
    rate_limiter = make_rate_limiter()
    usage = parse_usage(
        {
            "X-App-Usage": '{"call_count":28,"total_time":25,"total_cputime":25}',
            "X-Ad-Account-Usage": '{"acc_id_util_pct":88.5,"reset_time_duration":100,'
            '"ads_api_access_tier":"standard_access"}',
            "X-Business-Use-Case-Usage": '{"1":[{"type":"ads_insights","call_count":40,'
            '"total_cputime":20,"total_time":20,"estimated_time_to_regain_access":2}]}',
            "X-FB-Ads-Insights-Throttle": '{"app_id_util_pct":11,"acc_id_util_pct":50}',
        }
    )
    assert usage.retry_after_seconds(INSIGHTS, "1") == 120
    call(rate_limiter, clock, usage=usage)
    rate_limiter.flush()
    with database.connect() as connection:
        rows = connection.execute(
            "select account_id, use_case, percent, span_seconds, tier from control.call_budgets"
            " order by 1, 2"
        ).fetchall()
    assert [tuple(row.values()) for row in rows] == [
        ("", "", 28, 3600, "standard_access"),
        ("", "ads_insights", 11, 3600, "standard_access"),
        ("1", "", 88.5, 100, "standard_access"),
        ("1", "ads_insights", 50, 3600, "standard_access"),
    ]
    # The score frees itself within 100 s: a few seconds' pause, not minutes.
    assert call(rate_limiter, clock) < 100 / 60
    clock.now += 101
    assert call(rate_limiter, clock) == 0


def test_ninety_percent_is_logged_and_alerted_once_and_taken_back(
    make_rate_limiter: MakeRateLimiter,
    clock: VirtualClock,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rate_limiter, other = make_rate_limiter(), make_rate_limiter()
    full = Usage(use_cases=(UseCaseUsage("1", "ads_insights", 92, 0),))
    rate_limiter.after_call("1", INSIGHTS, full, None)
    rate_limiter.after_call("1", INSIGHTS, full, None)
    clock.now += 2
    other._look("1", [], clock())
    other.after_call("1", INSIGHTS, full, None)
    (alert,) = list_open_alerts(database)
    assert alert.alert.subject == "ad account act_1 (ads_insights)"
    assert "92 %" in alert.alert.message
    assert alert.times_raised == 1
    assert [r.levelname for r in caplog.records if "92 %" in r.message] == ["WARNING"]
    less = Usage(use_cases=(UseCaseUsage("1", "ads_insights", 85, 0),))
    rate_limiter.after_call("1", INSIGHTS, less, None)
    assert len(list_open_alerts(database)) == 1  # no flapping around the mark
    less = Usage(use_cases=(UseCaseUsage("1", "ads_insights", 60, 0),))
    rate_limiter.after_call("1", INSIGHTS, less, None)
    assert list_open_alerts(database) == []


def test_priority_goes_along_into_other_threads() -> None:
    with ThreadPoolExecutor(1) as pool, calls_of_priority(Priority.BACKFILL):
        assert pool.submit(carried(current_priority)).result() is Priority.BACKFILL
        assert pool.submit(current_priority).result() is Priority.TODAY
