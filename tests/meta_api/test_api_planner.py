"""Plans: every day once, cheap, side by side where that costs little."""

import math
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.meta_api.planner import InsightsPlanner, PlanLimits

DAY = date(2026, 11, 20)


@given(
    st.integers(1, 400),
    st.floats(0, 20_000),
    st.integers(1, 10),
    st.one_of(st.none(), st.integers(0, 40)),
)
def test_every_day_is_covered_exactly_once_newest_first(
    days: int, rows: float, parallel: int, longest: int | None
) -> None:
    planner = InsightsPlanner(PlanLimits(parallel=parallel))
    if longest is not None:
        planner.too_large("1", "ad", "hour", longest * 2)
    plan = planner.plan("1", "ad", "hour", DAY - timedelta(days=days - 1), DAY, rows)
    covered = [
        window.since + timedelta(days=each)
        for window in plan.windows
        for each in range(window.days)
    ]
    assert sorted(covered) == [DAY - timedelta(days=each) for each in reversed(range(days))]
    assert [window.since for window in plan.windows] == sorted(
        (window.since for window in plan.windows), reverse=True
    )
    modes = {window.mode for window in plan.windows}
    assert modes == {"sync" if rows * days <= 10_000 else "async"}
    if longest is not None:
        assert all(window.days <= max(longest, 1) for window in plan.windows)
    if modes == {"async"}:
        assert all(window.days <= 31 for window in plan.windows)
    sizes = [window.days for window in plan.windows]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("days", "rows_per_day", "most"),
    [
        (1, 1200, 2),  # one day of 50 ads by the hour: two pages
        (90, 1200, 1.2 * (108 + 18)),  # the first load: pages, reports, polls
        (28, 50, 2),  # the daily look at the attribution window
        (28, 1, 1),  # its control total
        (1, 24 * 3, 1),  # a small account's hours
    ],
)
def test_plans_are_near_the_fewest_calls(days: int, rows_per_day: float, most: float) -> None:
    plan = InsightsPlanner().plan(
        "1", "ad", "hour", DAY - timedelta(days=days - 1), DAY, rows_per_day
    )
    assert plan.expected_calls <= most
    assert plan.expected_calls >= math.ceil(days * rows_per_day / 1000)


def test_a_plan_learns_from_what_came() -> None:
    planner = InsightsPlanner()
    assert planner.plan("1", "ad", "hour", DAY, DAY).expected_rows == 800
    planner.observe("1", "ad", "hour", days=2, rows=60_000)
    plan = planner.plan("1", "ad", "hour", DAY, DAY)
    assert (plan.expected_rows, plan.windows[0].mode) == (30_000, "async")
    planner.observe("1", "ad", "hour", days=1, rows=10_000)
    assert planner.rows_per_day("1", "ad", "hour") == 20_000
    planner.observe("1", "ad", "hour", days=1, rows=90_000)
    assert planner.rows_per_day("1", "ad", "hour") == 90_000
    assert planner.rows_per_day("2", "ad", "hour") == 800
    assert planner.plan("1", "ad", "hour", DAY, DAY, 5).expected_rows == 5


def test_a_size_that_failed_stays_forbidden() -> None:
    planner = InsightsPlanner()
    planner.too_large("1", "ad", "hour", 8)
    planner.too_large("1", "ad", "hour", 30)
    assert planner.longest("1", "ad", "hour") == 4
    planner.too_large("1", "ad", "hour", 1)
    assert planner.longest("1", "ad", "hour") == 0
    assert planner.longest("1", "account", "day") is None
