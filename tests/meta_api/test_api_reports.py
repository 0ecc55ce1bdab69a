"""Asynchronous reports: done when done, replaced once, then halved, never waited for endlessly."""

import threading
from collections.abc import Callable
from datetime import date, timedelta

import pytest

from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.config import PlanLimits
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError
from meta_ads_pipeline.meta_api.report_memory import (
    ReportLimits,
)
from tests.insights_reading import InsightsRead
from tests.meta_api.insights_graph import (
    DAY,
    FOUR_REPORTS,
    START,
    InsightsGraph,
    done,
    posts,
    running,
)
from tests.meta_api.scripted_graph import Reply, Request, ScriptedGraph, error
from tests.virtual_clock import VirtualClock


def test_a_report_is_created_polled_and_read_with_a_limit(
    insights: InsightsGraph, read: Callable[..., InsightsRead], calls: list
) -> None:
    insights.status = lambda run, looks: (
        [running(run, 0, "Job Not Started"), running(run, 0, "Job Started"), running(run, 60)][
            looks - 1
        ]
        if looks <= 3
        else done(run)
    )
    result = read()
    create, *_ = insights.requests
    assert (create.method, create.path) == ("POST", "/v26.0/act_1/insights")
    assert isinstance(create.json("fields"), list)
    assert create.form["time_increment"] == "1"
    pages = [each for each in insights.requests if each.path == "/v26.0/9000/insights"]
    assert [each.params["limit"] for each in pages] == ["100"] * 4
    assert result.modes == {"async"}
    assert result.calls == 1 + 4 + 4 == len(calls)
    assert {record.use_case for record in calls} == {"ads_insights"}


def test_a_hundred_percent_that_still_runs_is_not_done(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    insights.status = lambda run, looks: running(run, 100) if looks < 3 else done(run)
    read()
    assert insights.looks == {"9000": 3}


def test_completed_below_a_hundred_is_not_done(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    insights.status = lambda run, looks: (
        running(run, 90, "Job Completed") if looks < 3 else done(run)
    )
    read()
    assert insights.looks == {"9000": 3}


def test_reports_are_in_flight_together_and_polled_in_one_request(
    insights: InsightsGraph,
    read: Callable[..., InsightsRead],
    graph: ScriptedGraph,
    calls: list,
) -> None:
    insights.status = lambda run, looks: running(run) if looks < 3 else done(run)
    insights.delay = 0.02
    result = read(FOUR_REPORTS)
    assert result.parts == 4
    assert graph.most_in_flight >= 3
    assert set(posts(insights)) == {
        ("2026-11-13", "2026-11-14"),
        ("2026-11-15", "2026-11-16"),
        ("2026-11-17", "2026-11-18"),
        ("2026-11-19", "2026-11-20"),
    }
    # Two looks at one of them in vain, then at that one, then at the others at once.
    looks = [record.calls for record in calls if record.edge == "report_run"]
    assert sum(looks) <= 2 + 1 + 3 + 6
    assert max(looks) >= 2


def test_one_report_stands_for_those_started_with_it(
    insights: InsightsGraph, read: Callable[..., InsightsRead], clock: VirtualClock, calls: list
) -> None:
    """Looks are calls: eight reports of 40 seconds cost few more than one of them would."""
    born: dict[str, float] = {}

    def status(run: str, looks: int) -> dict:
        return done(run) if clock() - born.setdefault(run, 1000.0) >= 40 else running(run)

    insights.status = status
    limits = PlanLimits(page_size=100, sync_rows=0, report_days=1, pages_per_window=1000)
    read(limits)
    assert clock() - 1000 < 65
    assert sum(record.calls for record in calls if record.edge == "report_run") <= 8 + 8 + 8


def test_windows_in_flight_are_bounded(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    waiting: set[str] = set()
    most = 0

    def status(run: str, looks: int) -> dict:
        nonlocal most
        waiting.add(run)
        most = max(most, len(waiting))
        if looks < 3:
            return running(run)
        waiting.discard(run)
        return done(run)

    insights.status = status
    limits = PlanLimits(page_size=100, sync_rows=0, report_days=1, pages_per_window=1000)
    read(limits, report_limits=ReportLimits(in_flight=3))
    assert most == 3
    assert len(insights.runs) == 8


@pytest.mark.parametrize("ending", ["Job Failed", "Job Skipped"])
def test_a_failed_report_is_replaced_once(
    ending: str, insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    insights.status = lambda run, looks: running(run, 0, ending) if run == "9000" else done(run)
    read()
    assert posts(insights) == [("2026-11-13", "2026-11-20")] * 2


def test_a_report_that_fails_twice_is_halved(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    insights.status = lambda run, looks: (
        running(run, 0, "Job Failed") if run in {"9000", "9001"} else done(run)
    )
    read()
    assert posts(insights)[:2] == [("2026-11-13", "2026-11-20")] * 2
    assert sorted(posts(insights)[2:]) == [
        ("2026-11-13", "2026-11-16"),
        ("2026-11-17", "2026-11-20"),
    ]


def test_a_report_stuck_at_a_percentage_is_replaced_in_time(
    insights: InsightsGraph, read: Callable[..., InsightsRead], clock: VirtualClock
) -> None:
    insights.status = lambda run, looks: running(run, 30) if run == "9000" else done(run)
    started = clock()
    read()
    assert len(posts(insights)) == 2
    assert 300 < clock() - started < 300 + 2 * 30 + 10


def test_a_report_that_creeps_is_ended_by_its_total_time(
    insights: InsightsGraph, read: Callable[..., InsightsRead], clock: VirtualClock
) -> None:
    insights.status = lambda run, looks: running(run, looks % 100) if run == "9000" else done(run)
    started = clock()
    read()
    assert 1800 < clock() - started < 1900


def test_reports_that_never_end_fail_within_the_total_time(
    insights: InsightsGraph, read: Callable[..., InsightsRead], clock: VirtualClock
) -> None:
    insights.status = lambda run, looks: running(run, 10)
    started = clock()
    with pytest.raises(MetaApiError, match=r"not finished in time\. .waited 1000 s") as caught:
        read(report_limits=ReportLimits(total_time=1000))
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert 1000 < clock() - started < 1000 + 40


def test_a_single_day_that_always_fails_says_so(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    insights.status = lambda run, looks: running(run, 0, "Job Failed")
    with pytest.raises(MetaApiError, match="asynchronous report failed") as caught:
        read(start=DAY)
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert len(posts(insights)) == 2


def test_a_report_that_names_too_much_data_is_halved_at_once(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    failed = {"error_code": 100, "error_subcode": 1487534, "error_message": "too much"}
    insights.status = lambda run, looks: (
        {**running(run, 0, "Job Failed"), **failed} if run == "9000" else done(run)
    )
    read()
    assert len(posts(insights)) == 3
    assert len(set(posts(insights))) == 3


@pytest.mark.parametrize(
    ("code", "kind", "most"),
    [
        (190, ErrorKind.AUTH, 1),
        (200, ErrorKind.PERMISSION, 1),
        (100, ErrorKind.INVALID, 5),  # by halves, twice: it may be about some of the days
    ],
)
def test_a_report_that_names_a_permanent_reason_is_not_repeated(
    code: int,
    kind: ErrorKind,
    most: int,
    insights: InsightsGraph,
    read: Callable[..., InsightsRead],
) -> None:
    insights.status = lambda run, looks: {
        **running(run, 0, "Job Failed"), "error_code": code, "error_message": "because"
    }  # fmt: skip
    with pytest.raises(MetaApiError, match="because") as caught:
        read()
    assert caught.value.kind is kind
    assert len(set(posts(insights))) == len(posts(insights)) <= most


def test_a_vanished_report_is_replaced(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    lost = error(100, "Unsupported get request.", error_subcode=33)
    insights.status = lambda run, looks: lost if run == "9000" else done(run)
    read()
    assert len(posts(insights)) == 2


def test_a_poll_that_fails_for_a_moment_is_no_failure(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    insights.status = lambda run, looks: error(2, "later", 500) if looks == 1 else done(run)
    read()
    assert len(posts(insights)) == 1


def test_creation_refused_as_too_much_is_halved_at_once(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    def refuse(request: Request) -> Reply | None:
        if "time_range" not in request.params:
            return None
        span = request.json("time_range")
        days = (date.fromisoformat(span["until"]) - date.fromisoformat(span["since"])).days + 1
        return error(100, "too much", error_subcode=1487534) if days > 2 else None

    insights.refuse = refuse
    read()
    asked = posts(insights)
    assert len(asked) == len(set(asked))
    sizes = [(date.fromisoformat(b) - date.fromisoformat(a)).days + 1 for a, b in asked]
    # Both halves may be under way before the first is known to be too much as well.
    assert sorted(sizes, reverse=True) in ([8, 4, 2, 2, 2, 2], [8, 4, 4, 2, 2, 2, 2])


def test_a_heavy_page_of_a_report_shrinks(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    reduce = error(1, "Please reduce the amount of data you're asking for", 500)
    insights.refuse = lambda request: reduce if int(request.params.get("limit", 0)) > 50 else None
    read()
    assert len(posts(insights)) == 1


def test_a_refused_filter_or_field_is_left_out_at_creation(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    def refuse(request: Request) -> Reply | None:
        if "inline_link_clicks" in request.params.get("fields", ""):
            return error(100, "(#100) inline_link_clicks is not valid for fields param. please")
        return error(100, "(#100) filtering is bad") if "filtering" in request.params else None

    insights.refuse = refuse
    result = read()
    assert set(result.dropped_fields) == {"inline_link_clicks"}
    assert len(posts(insights)) <= 4  # without the field, DELETED, the filter


def test_other_windows_are_delivered_before_a_failure_is_raised(
    insights: InsightsGraph, make_client: Callable[..., MetaAdsClient], account: AccountRef
) -> None:
    limits = PlanLimits(page_size=100, sync_rows=0, report_days=1, pages_per_window=1000)
    client = make_client(plan_limits=limits)

    def status(run: str, looks: int) -> dict:
        bad = insights.runs[run].json("time_range")["since"] == "2026-11-18"
        return running(run, 0, "Job Failed") if bad else done(run)

    insights.status = status
    seen: set[date] = set()
    parts = client.iter_insights(account, START, DAY, level="ad", grain="hour")
    with pytest.raises(MetaApiError) as caught:
        seen.update(part.query.since for part in parts)
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert seen == {START + timedelta(days=each) for each in range(8)} - {date(2026, 11, 18)}


def test_a_dead_token_ends_all_windows(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    count = 0
    lock = threading.Lock()

    def refuse(request: Request) -> Reply | None:
        nonlocal count
        with lock:
            count += 1
            return error(190, "dead", error_subcode=463) if count > 2 else None

    insights.refuse = refuse
    with pytest.raises(MetaApiError) as caught:
        read(PlanLimits(page_size=100, sync_rows=0, report_days=1, pages_per_window=1000))
    assert caught.value.kind is ErrorKind.AUTH


def test_an_abandoned_read_starts_no_further_windows(
    insights: InsightsGraph, make_client: Callable[..., MetaAdsClient], account: AccountRef
) -> None:
    limits = PlanLimits(page_size=48, pages_per_window=1, parallel=8)
    client = make_client(plan_limits=limits, report_limits=ReportLimits(in_flight=2))
    parts = client.iter_insights(account, START, DAY, level="ad", grain="hour", rows_per_day=48)
    next(parts)
    parts.close()
    assert len(insights.requests) <= 4


def test_an_answer_without_a_run_id_is_an_error(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    insights.refuse = lambda request: Reply({"success": True})
    with pytest.raises(MetaApiError, match="report_run_id"):
        read()


def test_the_run_id_may_be_a_number(
    insights: InsightsGraph, read: Callable[..., InsightsRead]
) -> None:
    original = insights._answer

    def answer(request: Request) -> Reply:
        reply = original(request)
        if isinstance(reply.body, dict) and "report_run_id" in reply.body:
            reply.body = {"report_run_id": int(reply.body["report_run_id"])}
        return reply

    insights._answer = answer
    assert read().modes == {"async"}
