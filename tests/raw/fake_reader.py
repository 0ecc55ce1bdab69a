"""An API client made of Python lists, for tests of what pulls do with answers and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from meta_ads_pipeline.meta_api.calls import CallCounter
from meta_ads_pipeline.meta_api.client import AccountRef
from meta_ads_pipeline.meta_api.errors import MetaApiError, error_from_envelope
from meta_ads_pipeline.meta_api.insights_query import InsightsPart, InsightsQuery
from meta_ads_pipeline.meta_api.paging import LeftOut

NOT_FOUND = {
    "message": "Unsupported get request. Object with ID '5' does not exist",
    "type": "GraphMethodException",
    "code": 100,
    "error_subcode": 33,
}
NO_PERMISSION = {"message": "(#200) no permission", "type": "OAuthException", "code": 200}
TRANSIENT = {"message": "An unknown error occurred", "code": 2, "is_transient": True}
TOKEN_DEAD = {"message": "Session has expired", "code": 190, "error_subcode": 463}


def api_error(envelope: dict[str, Any]) -> MetaApiError:
    return error_from_envelope(envelope, http_status=400, what="GET something")


class FakeReader:
    """Answers from ``insights`` (rows by date), ``lists`` (documents by kind), ``nodes`` (by id).

    ``days_per_part`` is how many days come in one part; ``before_part`` is called with the first
    day of each part before it is given and may raise.
    """

    api_version = "v26.0"

    def __init__(self) -> None:
        self.accounts: list[dict[str, Any]] = []
        self.insights: dict[date, list[dict[str, Any]]] = {}
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.nodes: dict[str, dict[str, Any]] = {}
        self.node_errors: dict[str, MetaApiError] = {}
        self.days_per_part = 1
        self.before_part: Callable[[date], None] = lambda _: None
        self.left_out: tuple[LeftOut, ...] = ()
        self.list_error: Exception | None = None
        self.asked_windows: list[tuple[date, date]] = []
        self.asked_rows_per_day: list[float | None] = []
        self.asked_ids: list[list[str]] = []
        self.list_calls = 0
        self.pages = 1
        self.dropped_fields: dict[str, dict[str, str]] = {}

    def get_accounts(self) -> list[dict[str, Any]]:
        return self.accounts

    def get_account(self, account_id: str) -> dict[str, Any]:
        if account_id in self.node_errors:
            raise self.node_errors[account_id]
        return self.nodes[account_id]

    def get_campaigns(
        self, account_id: str, *, counter: CallCounter | None = None
    ) -> list[dict[str, Any]]:
        return self._list("campaign", counter)

    def get_adsets(
        self, account_id: str, *, counter: CallCounter | None = None
    ) -> list[dict[str, Any]]:
        return self._list("adset", counter)

    def get_ads(
        self, account_id: str, *, counter: CallCounter | None = None
    ) -> list[dict[str, Any]]:
        return self._list("ad", counter)

    def get_creatives(
        self, account_id: str, *, known: object = None, counter: CallCounter | None = None
    ) -> list[dict[str, Any]]:
        return self._list("creative", counter)

    def _list(self, kind: str, counter: CallCounter | None) -> list[dict[str, Any]]:
        self.list_calls += 1
        if counter is not None:
            counter.add(self.pages, failed=False)
        if self.list_error is not None:
            raise self.list_error
        return self.lists.get(kind, [])

    def get_objects(
        self,
        ids: Iterable[str],
        kind: str,
        *,
        account_id: str | None = None,
        counter: CallCounter | None = None,
    ) -> tuple[list[dict[str, Any]], dict[str, MetaApiError]]:
        wanted = list(ids)
        if counter is not None:
            counter.add(len(wanted), failed=False)
        self.asked_ids.append(wanted)
        found = [self.nodes[each] for each in wanted if each in self.nodes]
        errors = {
            each: self.node_errors.get(each, api_error(NOT_FOUND))
            for each in wanted
            if each not in self.nodes
        }
        return found, errors

    def iter_insights(
        self,
        account: AccountRef,
        start: date,
        end: date,
        *,
        level: str,
        grain: str,
        rows_per_day: float | None = None,
        counter: CallCounter | None = None,
    ) -> Iterator[InsightsPart]:
        self.asked_windows.append((start, end))
        self.asked_rows_per_day.append(rows_per_day)
        last = end
        while last >= start:
            first = max(start, last - timedelta(days=self.days_per_part - 1))
            self.before_part(first)
            days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
            rows = [row for day in days for row in self.insights.get(day, [])]
            query = InsightsQuery(account.account_id, level, grain, first, last)
            yield InsightsPart(query, rows, datetime.now(UTC), "sync", self.left_out)
            last = first - timedelta(days=1)
