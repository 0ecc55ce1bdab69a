"""Report runs as the API really answered them, each through the reader of reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.config import PlanLimits
from tests.insights_reading import InsightsRead, read_insights
from tests.meta_api.insights_graph import DAY, ONE_REPORT, InsightsGraph, done, running
from tests.meta_api.scripted_graph import Reply, Request, ScriptedGraph, page
from tests.virtual_clock import VirtualClock


@pytest.fixture
def sample(samples: Path) -> Callable[[str], Any]:
    return lambda name: json.loads((samples / f"{name}.json").read_text())


def test_a_recorded_run_is_read_when_its_status_says_so(
    sample: Callable[[str], Any], graph: ScriptedGraph, make_client: Callable[..., MetaAdsClient]
) -> None:
    """Creation, status and rows of one recording: three days of an account's totals."""
    recorded, rows = sample("async/03"), sample("insights/03")["response"]["data"]
    account_id = recorded["status"]["account_id"]
    run = recorded["post"]["report_run_id"]
    status = Reply([{"code": 200, "headers": [], "body": json.dumps(recorded["status"])}])
    graph.reply(Reply(recorded["post"]), status, page(rows))
    client = make_client(plan_limits=ONE_REPORT)
    first, last = (
        date.fromisoformat(recorded["status"][f"date_{end}"]) for end in ("start", "stop")
    )
    account = AccountRef(account_id, "Europe/Prague", "CZK")
    result = read_insights(client, account, first, last, level="account", grain="day")
    assert (result.rows, result.calls, result.modes) == (rows, 3, {"async"})
    create, look, read = graph.requests
    assert create.path == f"/v26.0/act_{account_id}/insights"
    assert look.json("batch")[0]["relative_url"].startswith(f"{run}")
    assert read.path == f"/v26.0/{run}/insights"


def test_an_observed_run_at_a_hundred_percent_that_still_runs_is_not_read(
    sample: Callable[[str], Any],
    insights: InsightsGraph,
    read: Callable[..., InsightsRead],
) -> None:
    observed = sample("async/04")
    assert (observed["async_percent_completion"], observed["async_status"]) == (100, "Job Running")
    too_early: list[Request] = []

    def refuse(request: Request) -> Reply | None:
        # Meta's answer to a read that comes too early is an error (2601); it must not be needed.
        if request.path.endswith("/9000/insights") and insights.looks.get("9000", 0) < 4:
            too_early.append(request)
        return None

    insights.refuse = refuse
    insights.status = lambda run, looks: {**observed, "id": run} if looks < 4 else done(run)
    read()
    assert insights.looks == {"9000": 4}
    assert too_early == []


def test_an_observed_sequence_of_runs_with_their_usage(
    sample: Callable[[str], Any],
    graph: ScriptedGraph,
    insights: InsightsGraph,
    make_client: Callable[..., MetaAdsClient],
    account: AccountRef,
    clock: VirtualClock,
    calls: list[Any],
) -> None:
    """Each run goes through the statuses; each cost a low tier seven or eight percent; no rows."""
    observed = sample("async/05")
    *before, last = observed["sequence"]
    assert last == "Job Completed"
    insights.ads = []  # "0 objects" is a result
    insights.status = lambda run, looks: (
        running(run, 0, before[looks - 1]) if looks <= len(before) else done(run)
    )
    plain = insights.answer

    def answer(request: Request) -> Reply:
        reply = plain(request)
        used = observed["utilization_pct_between_jobs"][max(0, len(insights.runs) - 1)]
        reply.headers["X-FB-Ads-Insights-Throttle"] = json.dumps(
            {"app_id_util_pct": used, "acc_id_util_pct": used}
        )
        return reply

    graph.handler = answer
    client = make_client(plan_limits=PlanLimits(page_size=100, sync_rows=0))
    for _ in observed["utilization_pct_between_jobs"]:
        result = read_insights(client, account, DAY, DAY, level="ad", grain="day", rows_per_day=9)
        assert (result.rows, result.modes) == ([], {"async"})
    assert set(insights.looks.values()) == {len(before) + 1}
    heard = [record.usage.insights_account_percent for record in calls if record.method == "GET"]
    assert heard == observed["utilization_pct_between_jobs"]
    # Far from any limit nothing but the looks themselves is waited for.
    assert sum(clock.sleeps) <= 10 * len(insights.runs)
