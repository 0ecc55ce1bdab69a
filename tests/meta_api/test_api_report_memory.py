"""What is remembered of reports: started ones after a restart, and how long they take."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.insights_query import InsightsQuery
from meta_ads_pipeline.meta_api.report_memory import (
    ReportLimits,
    ReportPace,
    StoredReport,
    report_key,
)
from tests.insights_reading import InsightsRead, read_insights
from tests.meta_api.insights_graph import (
    DAY,
    ONE_REPORT,
    START,
    InsightsGraph,
    done,
    posts,
    running,
)
from tests.meta_api.memory_report_store import MemoryReportStore
from tests.meta_api.scripted_graph import error
from tests.virtual_clock import VirtualClock


def test_a_report_found_in_the_store_is_read_not_created(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    """As after a restart: the first process created it, the second reads it."""
    store = MemoryReportStore()
    insights.status = lambda run, looks: error(190, "token died", error_subcode=463)
    with pytest.raises(MetaApiError):
        read(report_store=store)
    insights.status = lambda run, looks: done(run)
    result = read(report_store=store)
    assert len(posts(insights)) == 1
    assert result.modes == {"async"}
    read(report_store=store)
    assert len(posts(insights)) == 2  # what was read is forgotten


@pytest.mark.parametrize(
    "changed",
    [
        {"fields": "spend"},
        {"filtering": [{"field": "ad.id", "operator": "NOT_IN", "value": ["7"]}]},
        {"action_attribution_windows": ["default", "1d_click"]},
        {"level": "campaign"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_report_of_another_question_is_not_adopted(changed: dict[str, object]) -> None:
    query = InsightsQuery("1", "ad", "day", date(2026, 11, 1), date(2026, 11, 2))
    asked = {"fields": "spend,clicks", "filtering": [], "level": "ad"}
    key = report_key(query, asked, "v26.0")
    assert report_key(query, dict(reversed(asked.items())), "v26.0") == key
    assert report_key(query, {**asked, **changed}, "v26.0") != key
    assert report_key(query, asked, "v27.0") != key
    other_day = InsightsQuery("1", "ad", "day", date(2026, 11, 1), date(2026, 11, 3))
    assert report_key(other_day, asked, "v26.0") != key


def test_an_old_report_is_not_adopted(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    store = MemoryReportStore()
    insights.status = lambda run, looks: error(190, "token died", error_subcode=463)
    with pytest.raises(MetaApiError):
        read(report_store=store)
    (key,) = store
    store.save(key, StoredReport("8000", datetime.now(UTC) - timedelta(hours=2)))
    insights.status = lambda run, looks: done(run)
    insights.requests.clear()
    read(report_store=store)
    assert len(posts(insights)) == 1
    assert "8000" not in insights.looks


def test_the_first_look_comes_when_reports_are_usually_done(
    insights: InsightsGraph,
    make_client: Callable[..., MetaAdsClient],
    account: AccountRef,
    clock: VirtualClock,
) -> None:
    client = make_client(plan_limits=ONE_REPORT)
    since: dict[str, float] = {}
    insights.status = lambda run, looks: (
        done(run) if clock() - since.setdefault(run, began) >= 12 else running(run)
    )
    looks = []
    for _ in range(3):
        began = clock()
        read_insights(client, account, START, DAY, level="ad", grain="hour")
        looks.append(insights.looks[max(insights.looks)])
    assert looks[0] >= 4
    assert looks[1:] == [1, 1]


def test_pace_stays_within_its_bounds() -> None:
    pace, limits = ReportPace(), ReportLimits(first_poll=2, longest_poll=30)
    assert pace.expected(limits) == 2
    pace.observe(500)
    assert pace.expected(limits) == 30
    for _ in range(12):
        pace.observe(0.1)
    assert pace.expected(limits) == 2
