"""Insights: the query, the check of the response, and the synchronous read.

Always with a ``time_increment``: without it Meta folds the days of a range into one row, and under
the hourly breakdown adds each hour up across days. Whatever is too much is asked in smaller pieces:
fewer rows a page, fewer days (or periods), fewer campaigns, ad sets and ads, then fewer fields.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from meta_ads_pipeline.attribution import AD_SET_SETTING
from meta_ads_pipeline.meta_api.calls import Call, CallCounter, Caller
from meta_ads_pipeline.meta_api.error_rules import UNEXPECTED_ROWS, Action, ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.field_groups import FieldGroups, FieldMemory
from meta_ads_pipeline.meta_api.fields import (
    DELETED,
    EFFECTIVE_STATUSES,
    HOURLY_BREAKDOWN,
    IDS_PER_FILTER,
    TIME_INCREMENTS,
    WINDOWS_PARAMETER,
    DroppedFields,
    Grain,
    Level,
    refused_windows,
)
from meta_ads_pipeline.meta_api.insights_query import InsightsPart, InsightsQuery, check_rows
from meta_ads_pipeline.meta_api.paging import SMALLEST_PAGE, ListReader, PageSizes, Repair, Row
from meta_ads_pipeline.meta_api.request_planner import InsightsRequestPlanner
from meta_ads_pipeline.meta_api.usage import UseCase

__all__ = ["InsightsPart", "InsightsQuery", "InsightsReader", "check_rows"]

# From coarse to fine: what a single day's query can be narrowed by.
_NARROWING: tuple[Level, ...] = ("campaign", "adset", "ad")


@dataclass
class InsightsReader:
    """Asks insights queries with one caller; remembers what Meta refused."""

    caller: Caller
    sizes: PageSizes
    dropped: DroppedFields
    planner: InsightsRequestPlanner
    page_size: int = 1000
    attribution_windows: tuple[str, ...] = ()
    _unfiltered: set[tuple[str, Level]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Start without knowledge of what fields are too much."""
        self.fields = FieldMemory(self.dropped, self.planner)

    def with_windows(self, query: InsightsQuery) -> InsightsQuery:
        """The query with attribution windows, where it is about a day's actions.

        The hours' actions happen on Meta itself, and reach has no windows.
        """
        counted = query.grain == "day" and "actions" in query.fields
        windows = self.attribution_windows if counted else ()
        return self.without_refused(replace(query, attribution_windows=windows))

    def without_refused(self, query: InsightsQuery) -> InsightsQuery:
        """The query without the attribution windows that Meta has refused so far."""
        kept = self.dropped.keep(query.key, query.attribution_windows)
        return replace(query, attribution_windows=kept)

    def params(self, query: InsightsQuery) -> dict[str, Any]:
        """Parameters of the query, without paging.

        Child levels leave archived and deleted objects out unless their status is asked for
        (Meta's "Manage your ad object's status" page), so every status is named. A filter on
        impressions would bring them too, but lose rows that have only late conversions. Account
        totals need no filter: they hold everything.
        """
        params: dict[str, Any] = {
            "level": query.level,
            "fields": list(self.fields.of(query)),
            "time_range": {"since": query.since.isoformat(), "until": query.until.isoformat()},
            "time_increment": TIME_INCREMENTS[query.grain],
        }
        if query.grain == "hour":
            params["breakdowns"] = [HOURLY_BREAKDOWN]
        windows = self.without_refused(query).attribution_windows
        if windows:
            params[WINDOWS_PARAMETER] = [AD_SET_SETTING, *windows]
        filters: list[dict[str, Any]] = []
        with self._lock:
            filtered = (query.account_id, query.level) not in self._unfiltered
        if filtered and query.level in EFFECTIVE_STATUSES:
            filters.append(
                {
                    "field": f"{query.level}.effective_status",
                    "operator": "IN",
                    "value": [*EFFECTIVE_STATUSES[query.level], DELETED],
                }
            )
        if query.only_level is not None:
            filters.append(
                {
                    "field": f"{query.only_level}.id",
                    "operator": "IN",
                    "value": list(query.only_ids),
                }
            )
        if filters:
            params["filtering"] = filters
        return params

    def refused(self, query: InsightsQuery, error: MetaApiError, sent: Mapping[str, Any]) -> bool:
        """Whether the query, sent as these parameters, changes after this error.

        An attribution window, a field or the status filter goes.
        """
        windows = refused_windows(sent.get(WINDOWS_PARAMETER, ()), error)
        if windows:
            self.dropped.record(query.key, windows, error)
            return True
        if self.dropped.drop(query.key, query.fields, error):
            return True
        place = (query.account_id, query.level)
        text = f"{error.message} {' '.join(error.blamed)}".lower()
        if (
            error.kind is ErrorKind.INVALID
            and error.action is Action.FIX_REQUEST
            and ("filter" in text or "effective_status" in text)
        ):
            with self._lock:
                known = place in self._unfiltered
                self._unfiltered.add(place)
            return not known and query.level in EFFECTIVE_STATUSES
        return False

    def read(self, query: InsightsQuery, counter: CallCounter | None = None) -> list[InsightsPart]:
        """Read synchronously, in as many pieces as it takes; parts cover the query exactly."""
        todo, groups = [query], FieldGroups(self.fields)
        parts: list[InsightsPart] = []
        while todo:
            # What fits may have been learned from an earlier piece, or by another thread.
            piece, *rest = self.fitting(todo.pop(0), groups, counter)
            todo = rest + todo
            asked_at = datetime.now(UTC)
            try:
                rows = self._read_whole(piece, counter)
                check_rows(piece, rows)
            except MetaApiError as error:
                todo = self.smaller(piece, error, groups, counter) + todo
            else:
                self.learn(piece, len(rows))
                part = InsightsPart(self.without_refused(piece), rows, asked_at, "sync")
                parts += groups.add(part)
            parts += groups.finished()
        return parts

    def read_report(
        self, query: InsightsQuery, run_id: str, counter: CallCounter | None
    ) -> list[Row]:
        """The rows of a finished report. An explicit limit, else Meta sends 25 rows a page."""
        call = Call(
            "GET",
            f"{run_id}/insights",
            {},
            "report_insights",
            query.account_id,
            UseCase.INSIGHTS,
        )
        rows = self._list_reader(query, whole=False, fixed=True).read(call, counter)
        check_rows(query, rows)
        self.learn(query, len(rows))
        return rows

    def smaller(
        self,
        query: InsightsQuery,
        error: MetaApiError,
        groups: FieldGroups,
        counter: CallCounter | None = None,
    ) -> list[InsightsQuery]:
        """The pieces to ask instead after this error; raises it where nothing helps.

        Too much data: halves by date, then by campaign, ad set and ad, then groups of fields; none
        for a single field, which is left out. Rows that cover other days than asked: day by day, or
        period by period.
        """
        spans = query.spans
        if error.rule is UNEXPECTED_ROWS and len(spans) > 1:
            longest = max((stop - start).days + 1 for start, stop in spans)
            self.planner.too_large(query.account_id, query.level, query.grain, 2 * longest)
            return query.spans_apart()
        if error.kind is not ErrorKind.TOO_MUCH_DATA:
            raise error
        if groups.holds(query):
            pieces = groups.split(query, error)
            if not pieces:  # a field was too much, so it was not the page
                self.sizes.forget(_size_key(query))
            return pieces
        if query.only_level is None:
            self.planner.too_large(query.account_id, query.level, query.grain, query.days)
        if len(spans) > 1:
            # A smaller page did not help, so the page was not what is too large.
            self.sizes.forget(_size_key(query))
        pieces = query.date_halves() or self._narrowed(query, counter)
        return pieces or groups.split(query, error)

    def fitting(
        self, query: InsightsQuery, groups: FieldGroups, counter: CallCounter | None = None
    ) -> list[InsightsQuery]:
        """The query, cut to what is known to fit, so that no failed size is asked again."""
        if groups.holds(query):
            return groups.fitting(query)
        longest = self.planner.longest(query.account_id, query.level, query.grain)
        if longest is None or query.days <= longest or query.only_level is not None:
            return groups.fitting(query)
        halves = query.date_halves()
        if not halves:
            return self._narrowed(query, counter) or groups.fitting(query)
        return [piece for half in halves for piece in self.fitting(half, groups, counter)]

    def learn(self, query: InsightsQuery, rows: int) -> None:
        """Tell the planner what a window of days held."""
        if query.only_level is None:
            self.planner.observe(query.account_id, query.level, query.grain, query.days, rows)

    def _read_whole(self, query: InsightsQuery, counter: CallCounter | None) -> list[Row]:
        call = Call(
            "GET",
            f"act_{query.account_id}/insights",
            _get_params(self.params(query)),
            "insights",
            query.account_id,
            UseCase.INSIGHTS,
        )
        return self._list_reader(query, whole=len(query.spans) > 1).read(call, counter)

    def _list_reader(self, query: InsightsQuery, *, whole: bool, fixed: bool = False) -> ListReader:
        """A reader whose page shrinks: briefly where days can be halved instead, else fully.

        Only the "reduce the amount of data" response is about the page; the others are about the
        report, and a smaller page of the same report fails the same way.
        """

        def repair(error: MetaApiError, call: Call) -> Repair | None:
            if not self.refused(query, error, call.params):
                return None
            unset = {"filtering": None, WINDOWS_PARAMETER: None}
            return Repair(call.with_params(**{**unset, **_get_params(self.params(query))}))

        return ListReader(
            self.caller,
            self.sizes,
            _size_key(query),
            self.page_size,
            smallest=max(SMALLEST_PAGE, self.page_size // 2) if whole else SMALLEST_PAGE,
            shrinks=lambda error: error.rule.name == "reduce_data",
            repair=None if fixed else repair,
        )

    def _narrowed(self, query: InsightsQuery, counter: CallCounter | None) -> list[InsightsQuery]:
        """A single day by halves of its campaigns, then ad sets, then ads; none when at its end.

        Which objects to expect comes from one small query without breakdown at their level.
        """
        level, ids = query.only_level, query.only_ids
        while len(ids) < 2:
            level = _next_level(level)
            if level is None or query.level not in _NARROWING[_NARROWING.index(level) :]:
                return []
            ids = self._ids(query, level, counter)
        size = min(math.ceil(len(ids) / 2), IDS_PER_FILTER)
        return [
            replace(query, only_level=level, only_ids=ids[first : first + size])
            for first in range(0, len(ids), size)
        ]

    def _ids(
        self, query: InsightsQuery, level: Level, counter: CallCounter | None
    ) -> tuple[str, ...]:
        grain: Grain = "day" if query.grain == "hour" else query.grain
        outline = replace(query, level=level, grain=grain, attribution_windows=())
        name = f"{level}_id"
        params = _get_params({**self.params(outline), "fields": [name]})
        call = Call(
            "GET",
            f"act_{query.account_id}/insights",
            params,
            "insights",
            query.account_id,
            UseCase.INSIGHTS,
        )
        reader = ListReader(self.caller, self.sizes, f"{query.account_id}/ids", self.page_size)
        rows = [row for row in reader.read(call, counter) if isinstance(row, dict)]
        return tuple(sorted({str(row[name]) for row in rows if name in row}))


def _size_key(query: InsightsQuery) -> str:
    return f"{query.account_id}/{query.key}"


def _get_params(params: dict[str, Any]) -> dict[str, Any]:
    """GET takes ``fields`` comma-joined, as the SDK sends them."""
    return {**params, "fields": ",".join(params["fields"])}


def _next_level(level: Level | None) -> Level | None:
    if level is None:
        return _NARROWING[0]
    place = _NARROWING.index(level) + 1
    return _NARROWING[place] if place < len(_NARROWING) else None
