"""Insights: the question, the check of the answer, and the synchronous read.

Always `time_increment=1`: without it Meta folds the days of a range into one row, and under the
hourly breakdown adds each hour up across days. Whatever is too much is asked in smaller pieces:
fewer rows a page, fewer days, then fewer campaigns, ad sets and ads.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from meta_ads_pipeline.meta_api.calls import Call, Caller, Tally
from meta_ads_pipeline.meta_api.error_rules import UNEXPECTED_ROWS, Action, ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.fields import (
    DELETED,
    EFFECTIVE_STATUSES,
    HOURLY_BREAKDOWN,
    IDS_PER_FILTER,
    DroppedFields,
    Grain,
    Level,
    insights_fields,
)
from meta_ads_pipeline.meta_api.paging import SMALLEST_PAGE, ListReader, PageSizes, Repair, Row
from meta_ads_pipeline.meta_api.planner import InsightsPlanner, Mode
from meta_ads_pipeline.meta_api.usage import UseCase

# From coarse to fine: what a single day's question can be narrowed by.
_NARROWING: tuple[Level, ...] = ("campaign", "adset", "ad")


@dataclass(frozen=True)
class InsightsQuery:
    """One question: whole account-local days, both ends included; `only` narrows it to ids."""

    account_id: str
    level: Level
    grain: Grain
    since: date
    until: date
    only_level: Level | None = None
    only_ids: tuple[str, ...] = ()

    @property
    def days(self) -> int:
        """How many days it covers."""
        return (self.until - self.since).days + 1

    @property
    def key(self) -> str:
        """What page sizes and dropped fields are remembered under."""
        return f"insights/{self.level}/{self.grain}"

    def days_apart(self) -> list[InsightsQuery]:
        """One question per day, newest first."""
        every = [self.since + timedelta(days=number) for number in range(self.days)]
        return [replace(self, since=day, until=day) for day in reversed(every)]

    def date_halves(self) -> list[InsightsQuery]:
        """Two questions of about half the days, newest first; none when it is one day."""
        if self.days == 1:
            return []
        middle = self.since + timedelta(days=self.days // 2)
        return [
            replace(self, since=middle),
            replace(self, until=middle - timedelta(days=1)),
        ]


@dataclass(frozen=True)
class InsightsPart:
    """A finished piece of an answer. The rows are complete for every day of the query.

    `pulled_at` is when Meta was asked (UTC): numbers are at least as new as that.
    """

    query: InsightsQuery
    rows: list[Row] = field(repr=False)
    pulled_at: datetime
    mode: Mode


def check_rows(query: InsightsQuery, rows: Sequence[Row]) -> None:
    """Raise unless each row is one day of the window, with an hour label exactly when asked."""
    first, last = query.since.isoformat(), query.until.isoformat()
    hourly = query.grain == "hour"
    for row in rows:
        start, stop = row.get("date_start"), row.get("date_stop")
        if not isinstance(start, str) or start != stop or not first <= start <= last:
            raise MetaApiError(
                UNEXPECTED_ROWS,
                f"asked for {first} to {last} day by day, got a row of {start} to {stop}",
                what=f"insights of act_{query.account_id}",
                account_id=query.account_id,
            )
        if (HOURLY_BREAKDOWN in row) != hourly:
            raise MetaApiError(
                UNEXPECTED_ROWS,
                f"asked for rows by the {query.grain}, got a row "
                f"{'without' if hourly else 'with'} an hour label",
                what=f"insights of act_{query.account_id}",
                account_id=query.account_id,
            )


@dataclass
class InsightsReader:
    """Asks insights questions with one caller; remembers what Meta refused."""

    caller: Caller
    sizes: PageSizes
    dropped: DroppedFields
    planner: InsightsPlanner
    page_size: int = 1000
    _unfiltered: set[tuple[str, Level]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def params(self, query: InsightsQuery) -> dict[str, Any]:
        """Parameters of the question, without paging.

        Child levels leave archived and deleted objects out unless their status is asked for
        (Meta's "Manage your ad object's status" page), so every status is named. A filter on
        impressions would bring them too, but lose rows that have only late conversions. Account
        totals need no filter: they hold everything.
        """
        params: dict[str, Any] = {
            "level": query.level,
            "fields": list(self.dropped.keep(query.key, insights_fields(query.level, query.grain))),
            "time_range": {"since": query.since.isoformat(), "until": query.until.isoformat()},
            "time_increment": 1,
        }
        if query.grain == "hour":
            params["breakdowns"] = [HOURLY_BREAKDOWN]
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

    def refused(self, query: InsightsQuery, error: MetaApiError) -> bool:
        """Whether the question changes after this error: a field or the status filter goes."""
        fields = insights_fields(query.level, query.grain)
        if self.dropped.drop(query.key, fields, error):
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

    def read(self, query: InsightsQuery, tally: Tally | None = None) -> list[InsightsPart]:
        """Read synchronously, in as many pieces as it takes; parts cover the query exactly."""
        todo, parts = [query], []
        while todo:
            # What fits may have been learned from an earlier piece, or by another thread.
            piece, *rest = self.fitting(todo.pop(0), tally)
            todo = rest + todo
            asked_at = datetime.now(UTC)
            try:
                rows = self._read_whole(piece, tally)
                check_rows(piece, rows)
            except MetaApiError as error:
                todo = self.smaller(piece, error, tally) + todo
                continue
            self.learn(piece, len(rows))
            parts.append(InsightsPart(piece, rows, asked_at, "sync"))
        return parts

    def read_report(self, query: InsightsQuery, run_id: str, tally: Tally | None) -> list[Row]:
        """The rows of a finished report. An explicit limit, else Meta sends 25 rows a page."""
        call = Call(
            "GET",
            f"{run_id}/insights",
            {},
            "report_insights",
            query.account_id,
            UseCase.INSIGHTS,
        )
        rows = self._list_reader(query, whole=False, fixed=True).read(call, tally)
        check_rows(query, rows)
        self.learn(query, len(rows))
        return rows

    def smaller(
        self, query: InsightsQuery, error: MetaApiError, tally: Tally | None = None
    ) -> list[InsightsQuery]:
        """The pieces to ask instead after this error; raises it where nothing helps.

        Too much data: halves by date, then by campaign, ad set and ad. Rows that run over several
        days: day by day.
        """
        if error.rule is UNEXPECTED_ROWS and query.days > 1:
            self.planner.too_large(query.account_id, query.level, query.grain, 2)
            return query.days_apart()
        if error.kind is not ErrorKind.TOO_MUCH_DATA:
            raise error
        if query.only_level is None:
            self.planner.too_large(query.account_id, query.level, query.grain, query.days)
        if query.days > 1:
            # A smaller page did not help, so the page was not what is too large.
            self.sizes.forget(_size_key(query))
        pieces = query.date_halves() or self._narrowed(query, tally)
        if not pieces:
            raise error
        return pieces

    def fitting(self, query: InsightsQuery, tally: Tally | None = None) -> list[InsightsQuery]:
        """The question, cut to what is known to fit, so that no failed size is asked again."""
        longest = self.planner.longest(query.account_id, query.level, query.grain)
        if longest is None or query.days <= longest or query.only_level is not None:
            return [query]
        if query.days == 1:
            return self._narrowed(query, tally) or [query]
        return [piece for half in query.date_halves() for piece in self.fitting(half, tally)]

    def learn(self, query: InsightsQuery, rows: int) -> None:
        """Tell the planner what a window of days held."""
        if query.only_level is None:
            self.planner.observe(query.account_id, query.level, query.grain, query.days, rows)

    def _read_whole(self, query: InsightsQuery, tally: Tally | None) -> list[Row]:
        call = Call(
            "GET",
            f"act_{query.account_id}/insights",
            _get_params(self.params(query)),
            "insights",
            query.account_id,
            UseCase.INSIGHTS,
        )
        return self._list_reader(query, whole=query.days > 1).read(call, tally)

    def _list_reader(self, query: InsightsQuery, *, whole: bool, fixed: bool = False) -> ListReader:
        """A reader whose page shrinks: briefly where days can be halved instead, else fully.

        Only the "reduce the amount of data" answer is about the page; the others are about the
        report, and a smaller page of the same report fails the same way.
        """

        def repair(error: MetaApiError, call: Call) -> Repair | None:
            if not self.refused(query, error):
                return None
            return Repair(
                call.with_params(**{"filtering": None, **_get_params(self.params(query))})
            )

        return ListReader(
            self.caller,
            self.sizes,
            _size_key(query),
            self.page_size,
            smallest=max(SMALLEST_PAGE, self.page_size // 2) if whole else SMALLEST_PAGE,
            shrinks=lambda error: error.rule.name == "reduce_data",
            repair=None if fixed else repair,
        )

    def _narrowed(self, query: InsightsQuery, tally: Tally | None) -> list[InsightsQuery]:
        """A single day by halves of its campaigns, then ad sets, then ads; none when at its end.

        Which objects to expect comes from one small question without breakdown at their level.
        """
        level, ids = query.only_level, query.only_ids
        while len(ids) < 2:
            level = _next_level(level)
            if level is None or query.level not in _NARROWING[_NARROWING.index(level) :]:
                return []
            ids = self._ids(query, level, tally)
        size = min(math.ceil(len(ids) / 2), IDS_PER_FILTER)
        return [
            replace(query, only_level=level, only_ids=ids[first : first + size])
            for first in range(0, len(ids), size)
        ]

    def _ids(self, query: InsightsQuery, level: Level, tally: Tally | None) -> tuple[str, ...]:
        outline = replace(query, level=level, grain="day")
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
        return tuple(sorted({str(row[name]) for row in reader.read(call, tally) if name in row}))


def _size_key(query: InsightsQuery) -> str:
    return f"{query.account_id}/{query.key}"


def _get_params(params: dict[str, Any]) -> dict[str, Any]:
    """GET takes `fields` comma-joined, as the SDK sends them."""
    return {**params, "fields": ",".join(params["fields"])}


def _next_level(level: Level | None) -> Level | None:
    if level is None:
        return _NARROWING[0]
    place = _NARROWING.index(level) + 1
    return _NARROWING[place] if place < len(_NARROWING) else None
