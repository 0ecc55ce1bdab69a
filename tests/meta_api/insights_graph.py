"""Insights on the scripted graph: rows computed from the question, reports included."""

import json
import threading
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

from meta_ads_pipeline.meta_api.config import PlanLimits
from tests.meta_api.scripted_graph import Reply, Request, ScriptedGraph, page

DAY = date(2026, 11, 20)
START = DAY - timedelta(days=7)
ONE_REPORT = PlanLimits(page_size=100, sync_rows=0, pages_per_window=1000)
FOUR_REPORTS = PlanLimits(page_size=100, sync_rows=0, report_days=2, pages_per_window=1000)
HOURLY = "hourly_stats_aggregated_by_advertiser_time_zone"
IDS = {"account": (), "campaign": ("campaign_id",), "adset": ("campaign_id", "adset_id")}
IDS["ad"] = (*IDS["adset"], "ad_id")


class InsightsGraph:
    """Answers insights for `ads` (campaign, ad set, ad); every ad delivers every hour.

    `refuse` may answer a question instead (None lets it pass); `status` scripts a report's polls:
    it gets the run id and how often it was looked at, and gives a status document or a Reply.
    """

    def __init__(self, graph: ScriptedGraph) -> None:
        self.graph = graph
        self.ads = [("1", "11", "111"), ("2", "21", "211")]
        self.refuse: Callable[[Request], Reply | None] | None = None
        self.status: Callable[[str, int], Any] = lambda run, looks: done(run)
        self.fold = False
        self.delay = 0.0
        self.runs: dict[str, Request] = {}
        self.looks: dict[str, int] = {}
        self._lock = threading.Lock()
        graph.handler = self.answer

    @property
    def requests(self) -> list[Request]:
        return self.graph.requests

    def answer(self, request: Request) -> Reply:
        reply = self._answer(request)
        reply.delay = self.delay
        return reply

    def _answer(self, request: Request) -> Reply:
        parts = request.path.strip("/").split("/")[1:]
        if not parts or "batch" in request.params:
            members = [urlsplit(each["relative_url"]) for each in request.json("batch")]
            answers = [self._look(each.path.strip("/")) for each in members]
            return Reply(
                [
                    {"code": each.status, "headers": [], "body": json.dumps(each.body)}
                    for each in answers
                ]
            )
        if len(parts) == 1:
            return self._look(parts[0])
        if parts[0].startswith("act_"):
            refused = self.refuse(request) if self.refuse else None
            if refused:
                return refused
            if request.method == "POST":
                with self._lock:
                    run = str(9000 + len(self.runs))
                    self.runs[run] = request
                return Reply({"report_run_id": run})
            return self._page(request, request)
        question = self.runs[parts[0]]
        refused = self.refuse(request) if self.refuse else None
        return refused or self._page(question, request)

    def _look(self, run: str) -> Reply:
        with self._lock:
            self.looks[run] = self.looks.get(run, 0) + 1
            status = self.status(run, self.looks[run])
        return status if isinstance(status, Reply) else Reply(status)

    def _page(self, question: Request, paging: Request) -> Reply:
        rows = self.rows(question)
        first = int(paging.params.get("after") or 0)
        limit = int(paging.params.get("limit", 25))
        more = first + limit < len(rows)
        return page(rows[first : first + limit], str(first + limit), more=more)

    def rows(self, request: Request) -> list[dict]:
        span = request.json("time_range")
        since, until = (date.fromisoformat(span[name]) for name in ("since", "until"))
        grain = "hour" if "breakdowns" in request.params else "day"
        rows = self.truth(since, until, request.params["level"], grain, self._chosen(request))
        if self.fold and since != until:
            rows = [row for row in rows if row["date_start"] == span["since"]]
            rows = [{**row, "date_stop": span["until"]} for row in rows]
        return rows

    def ad_count(self, request: Request) -> int:
        return len(self._chosen(request))

    def _chosen(self, request: Request) -> list[tuple[str, str, str]]:
        chosen = self.ads
        for condition in json.loads(request.params.get("filtering", "[]")):
            level, _, name = condition["field"].partition(".")
            if name == "id":
                place = ("campaign", "adset", "ad").index(level)
                wanted = condition["operator"] == "IN"
                chosen = [each for each in chosen if (each[place] in condition["value"]) == wanted]
        return chosen

    def truth(
        self,
        since: date,
        until: date,
        level: str,
        grain: str,
        ads: list[tuple[str, str, str]] | None = None,
    ) -> list[dict]:
        depth = len(IDS[level])
        objects = sorted({each[:depth] for each in (self.ads if ads is None else ads)})
        rows = []
        for number in range((until - since).days + 1):
            day = (since + timedelta(days=number)).isoformat()
            for ids in objects:
                for hour in range(24) if grain == "hour" else [None]:
                    row = {"account_id": "1", **dict(zip(IDS[level], ids, strict=True))}
                    row |= {"spend": f"{number}.5{hour or 0}", "date_start": day, "date_stop": day}
                    if hour is not None:
                        row[HOURLY] = f"{hour:02}:00:00 - {hour:02}:59:59"
                    row["spend"] = f"{int(day[-2:])}.{hour or 0:02}"
                    rows.append(row)
        return rows


def done(run: str) -> dict:
    return {"id": run, "async_status": "Job Completed", "async_percent_completion": 100}


def running(run: str, percent: int = 0, status: str = "Job Running") -> dict:
    return {"id": run, "async_status": status, "async_percent_completion": percent}


def posts(insights: InsightsGraph) -> list[tuple[str, str]]:
    """The spans of the reports asked for."""
    spans = [each.json("time_range") for each in insights.requests if "level" in each.form]
    return [(span["since"], span["until"]) for span in spans]
