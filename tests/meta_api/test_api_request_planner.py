"""Plans: every day once, cheap, side by side where that costs little."""

import math
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.meta_api.config import PlanLimits
from meta_ads_pipeline.meta_api.priority import Priority, days_by_priority
from meta_ads_pipeline.meta_api.request_planner import InsightsRequestPlanner

DAY = date(2026, 11, 20)
ONE = timedelta(days=1)


@given(
    st.integers(1, 400),
    st.floats(0, 20_000),
    st.integers(1, 10),
    st.one_of(st.none(), st.integers(0, 40)),
    st.one_of(st.none(), st.integers(-3, 400)),
)
def test_every_day_is_covered_exactly_once_newest_first(
    days: int, rows: float, parallel: int, longest: int | None, ago: int | None
) -> None:
    planner = InsightsRequestPlanner(PlanLimits(parallel=parallel))
    if longest is not None:
        planner.too_large("1", "ad", "hour", longest * 2)
    today = None if ago is None else DAY + timedelta(days=ago)
    plan = planner.plan("1", "ad", "hour", DAY - timedelta(days=days - 1), DAY, rows, today)
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
    cut = today is not None and rows * days > 10_000
    if not cut:
        assert modes == {"sync" if rows * days <= 10_000 else "async"}
    if longest is not None:
        assert all(window.days <= max(longest, 1) for window in plan.windows)
    assert all(window.days <= 31 for window in plan.windows if window.mode == "async")
    sizes = [window.days for window in plan.windows]
    assert cut or max(sizes) - min(sizes) <= 1


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
    plan = InsightsRequestPlanner().plan(
        "1", "ad", "hour", DAY - timedelta(days=days - 1), DAY, rows_per_day
    )
    assert plan.expected_calls <= most
    assert plan.expected_calls >= math.ceil(days * rows_per_day / 1000)


def test_a_plan_learns_from_what_came() -> None:
    planner = InsightsRequestPlanner()
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
    planner = InsightsRequestPlanner()
    planner.too_large("1", "ad", "hour", 8)
    planner.too_large("1", "ad", "hour", 30)
    assert planner.longest("1", "ad", "hour") == 4
    planner.too_large("1", "ad", "hour", 1)
    assert planner.longest("1", "ad", "hour") == 0
    assert planner.longest("1", "account", "day") is None


def test_the_newest_days_of_a_long_range_are_asked_by_themselves_at_their_own_priority() -> None:
    start = DAY - timedelta(days=59)
    windows = InsightsRequestPlanner().plan("1", "ad", "hour", start, DAY, 1200, DAY).windows
    priorities = [Priority.of_dates(window.until, DAY) for window in windows]
    assert [(w.since, w.until) for w in windows[:2]] == [(DAY, DAY), (DAY - ONE, DAY - ONE)]
    assert priorities[:2] == [Priority.TODAY, Priority.YESTERDAY]
    assert priorities == sorted(priorities, key=lambda each: -each.value)
    for window, priority in zip(windows, priorities, strict=True):
        assert Priority.of_dates(window.since, DAY) is priority
    # So much more for that: no window shares the pages of another, and each is a report at most.
    whole = InsightsRequestPlanner().plan("1", "ad", "hour", start, DAY, 1200)
    cut = InsightsRequestPlanner().plan("1", "ad", "hour", start, DAY, 1200, DAY)
    assert cut.expected_calls <= whole.expected_calls * 1.1


def test_a_short_range_is_not_cut() -> None:
    start = DAY - timedelta(days=59)
    assert len(InsightsRequestPlanner().plan("1", "ad", "day", start, DAY, 30, DAY).windows) == 1


@given(st.integers(0, 80), st.integers(-2, 80))
def test_spans_of_one_priority_cover_the_days_once(days: int, ago: int) -> None:
    today = DAY + timedelta(days=ago)
    spans = days_by_priority(DAY - timedelta(days=days), DAY, today)
    covered = [
        first + timedelta(days=each)
        for first, last in spans
        for each in range((last - first).days, -1, -1)
    ]
    assert covered == [DAY - timedelta(days=each) for each in range(days + 1)]
    for first, last in spans:
        assert Priority.of_dates(first, today) is Priority.of_dates(last, today)
    assert len({Priority.of_dates(last, today) for _, last in spans}) == len(spans)
