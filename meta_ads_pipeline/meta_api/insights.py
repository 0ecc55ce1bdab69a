"""Insights: the query, the check of the response, and the synchronous read.

Always with a ``time_increment``: without it Meta folds the days of a range into one row, and under
the hourly breakdown adds each hour up across days. Whatever is too much is asked in smaller pieces:
fewer rows a page, fewer days (or periods), fewer campaigns, ad sets and ads, then fewer fields.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from meta_ads_pipeline.attribution import AD_SET_SETTING
from meta_ads_pipeline.insights_tables import Grain, Level
from meta_ads_pipeline.meta_api.calls import Call, CallCounter, Caller
from meta_ads_pipeline.meta_api.config import ListLimits
from meta_ads_pipeline.meta_api.error_rules import (
    BAD_RESPONSE,
    UNEXPECTED_ROWS,
    Action,
    ErrorKind,
)
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.failed_days import FailedDays
from meta_ads_pipeline.meta_api.field_groups import FieldGroups, FieldMemory, account_key
from meta_ads_pipeline.meta_api.fields import (
    DELETED,
    EDGES,
    EFFECTIVE_STATUSES,
    ESSENTIAL_FIELDS,
    HOURLY_BREAKDOWN,
    IDS_PER_FILTER,
    LEVEL_IDS,
    TIME_INCREMENTS,
    WINDOWS_PARAMETER,
    DroppedFields,
    refused_windows,
)
from meta_ads_pipeline.meta_api.insights_query import InsightsPart, InsightsQuery, check_rows
from meta_ads_pipeline.meta_api.paging import (
    SMALLEST_PAGE,
    LeftOut,
    Listing,
    ListReader,
    PageSizes,
    Repair,
    Row,
    objects_of,
)
from meta_ads_pipeline.meta_api.refusals import refused_fields, refused_values
from meta_ads_pipeline.meta_api.request_planner import InsightsRequestPlanner, Mode
from meta_ads_pipeline.meta_api.usage import UseCase

logger = logging.getLogger(__name__)

# From coarse to fine: what a single day's query can be narrowed by.
_NARROWING: tuple[Level, ...] = ("campaign", "adset", "ad")
MOST_PROBES = 60
"""Requests to find the objects for which Meta refuses a whole level."""
PAUSES_FOR_LOST = (2.0, 5.0)
"""Seconds before a finished report that Meta says it does not know is asked for again."""


@dataclass
class InsightsReader:
    """Asks insights queries with one caller; remembers what Meta refused."""

    caller: Caller
    sizes: PageSizes
    dropped: DroppedFields
    planner: InsightsRequestPlanner
    page_size: int = 1000
    attribution_windows: tuple[str, ...] = ()
    limits: ListLimits = field(default_factory=ListLimits)
    _refused_statuses: dict[tuple[str, Level], set[str]] = field(default_factory=dict)
    _excluded: dict[str, dict[Level, dict[str, str]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Start without knowledge of what fields are too much."""
        self.fields = FieldMemory(self.dropped, self.planner)

    @property
    def api_version(self) -> str:
        """The version of the Marketing API that is asked."""
        return self.caller.transport.api_version

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
        statuses = self._statuses(query)
        if query.level in EFFECTIVE_STATUSES and statuses:
            filters.append(
                {
                    "field": f"{query.level}.effective_status",
                    "operator": "IN",
                    "value": statuses,
                }
            )
        with self._lock:
            for level, objects in self._excluded.get(query.account_id, {}).items():
                if _is_within(query.level, level):
                    filters.append(
                        {"field": f"{level}.id", "operator": "NOT_IN", "value": sorted(objects)}
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

    def refused(
        self,
        query: InsightsQuery,
        error: MetaApiError,
        sent: Mapping[str, Any],
        counter: CallCounter | None = None,
    ) -> bool:
        """Whether the query, sent as these parameters, changes after this error.

        An attribution window goes, a field, a status of the filter, the filter, or an object that
        the token may not see. What the error does not name is found by small requests.
        """
        windows = refused_windows(sent.get(WINDOWS_PARAMETER, ()), error)
        if windows:
            self.dropped.record(query.key, windows, error)
            return True
        if error.action is Action.DROP_FIELD and self.dropped.drop(query.key, query.fields, error):
            return True
        if not error.may_blame_a_part:
            return False
        if self._statuses_refused(query, error, said=True):
            return True
        probe = self._probe(query)
        failed = self.caller.error_of(probe, counter)
        if failed is None:
            # Of several days another one is refused: `smaller` finds it.
            return len(query.spans) == 1 and self._objects_refused(query, error, counter)
        if not (failed.may_blame_a_part or failed.suggests_smaller):
            raise failed
        refusal = refused_fields(
            lambda tried: self.caller.call(tried, counter).document,
            probe,
            failed,
            keep=(*LEVEL_IDS[query.level], *ESSENTIAL_FIELDS),
        )
        if refusal is not None:
            self.dropped.record(account_key(query), refusal.fields, error)
            return True
        bare = probe.with_params(filtering=None)
        filtered = "filtering" in probe.params and query.only_level is None
        if filtered and self._succeeds(bare, counter):
            return self._statuses_refused(query, error, said=False)
        return self._objects_refused(query, error, counter)

    def _statuses_refused(self, query: InsightsQuery, error: MetaApiError, *, said: bool) -> bool:
        """Leave statuses out of the filter, or the filter.

        ``said``: only if the error's text is about the filter or the statuses.
        """
        if query.level not in EFFECTIVE_STATUSES:
            return False
        text = f"{error.message} {' '.join(error.blamed)}".lower()
        if said and not any(word in text for word in ("filter", "status")):
            return False
        asked = self._statuses(query)
        refused = refused_values(error, asked, DELETED) if said else {*asked}
        with self._lock:
            place = query.account_id, query.level
            self._refused_statuses.setdefault(place, set()).update(refused)
        return bool(asked)

    def _statuses(self, query: InsightsQuery) -> list[str]:
        """The statuses to filter for, without those that Meta has refused so far."""
        with self._lock:
            refused = self._refused_statuses.get((query.account_id, query.level), set())
            every = (*EFFECTIVE_STATUSES.get(query.level, ()), DELETED)
            return [each for each in every if each not in refused]

    def _objects_refused(
        self, query: InsightsQuery, error: MetaApiError, counter: CallCounter | None
    ) -> bool:
        """Leave out the objects for which Meta refuses every row of their level.

        One ad that the token may not see fails a whole request by ad. It is looked for among the
        campaigns, then ad sets, then ads, where the account's own total can be read.
        """
        if query.level == "account" or query.only_level is not None:
            return False
        total = replace(query, level="account", measures=(), attribution_windows=())
        if not self._succeeds(self._probe(total), counter):
            return False
        found: list[InsightsQuery] = []
        waiting = self._narrowed(query, counter)
        for _ in range(MOST_PROBES):
            if not waiting:
                break
            piece = waiting.pop()
            if self._succeeds(self._probe(piece), counter):
                continue
            smaller = self._narrowed(piece, counter, refused=True)
            if smaller:
                waiting += smaller
            elif len(piece.only_ids) == 1:
                found.append(piece)
        if waiting or not found:
            return False
        with self._lock:
            for piece in found:
                excluded = self._excluded.setdefault(query.account_id, {})
                known = excluded.setdefault(piece.only_level or query.level, {})
                known[piece.only_ids[0]] = str(error)
        logger.warning(
            "act_%s: insights are read without %s, which Meta refuses: %s",
            query.account_id,
            ", ".join(f"{piece.only_level} {piece.only_ids[0]}" for piece in found),
            error,
        )
        return True

    def left_out(self, query: InsightsQuery) -> tuple[LeftOut, ...]:
        """The objects that a query's rows lack because Meta refuses them."""
        with self._lock:
            excluded = self._excluded.get(query.account_id, {})
            return tuple(
                LeftOut(reason, object_id)
                for level, objects in excluded.items()
                if _is_within(query.level, level)
                for object_id, reason in objects.items()
            )

    def _probe(self, query: InsightsQuery) -> Call:
        """The query in its smallest form: one row of its newest day or period."""
        newest = query.spans_apart()[0]
        params = {**_get_params(self.params(newest)), "limit": 1}
        path = f"act_{query.account_id}/insights"
        return Call("GET", path, params, "insights", query.account_id, UseCase.INSIGHTS)

    def _succeeds(self, call: Call, counter: CallCounter | None) -> bool:
        try:
            self.caller.call(call, counter)
        except MetaApiError as error:
            if not error.may_blame_a_part:
                raise
            return False
        return True

    def read(self, query: InsightsQuery, counter: CallCounter | None = None) -> list[InsightsPart]:
        """Read synchronously, in as many pieces as it takes; parts cover the query exactly.

        For rows of which some are of no use: the first failure is raised.
        """
        return list(self._parts(query, counter, None))

    def parts(
        self, query: InsightsQuery, counter: CallCounter | None = None
    ) -> Iterator[InsightsPart]:
        """The same, each part as it is done; days that fail do not cost the others.

        Their failures are raised at the end, with their dates. What every day would fail with is
        raised at once.
        """
        failed = self.failed_days(counter)
        yield from self._parts(query, counter, failed)
        failed.raise_first()

    def failed_days(self, counter: CallCounter | None) -> FailedDays:
        """A record of failures for one read."""
        return FailedDays(
            lambda query: self._can_be_read(self._probe(query.spans_apart()[-1]), counter)
        )

    def _parts(
        self, query: InsightsQuery, counter: CallCounter | None, failed: FailedDays | None
    ) -> Iterator[InsightsPart]:
        todo, groups = [query], FieldGroups(self.fields)
        while todo:
            piece = todo.pop(0)
            try:
                # What fits may have been learned from an earlier piece, or by another thread.
                piece, *rest = self.fitting(piece, groups, counter)
                todo = rest + todo
                asked_at = datetime.now(UTC)
                try:
                    rows = self._read_whole(piece, counter)
                    check_rows(piece, rows)
                except MetaApiError as error:
                    todo = self.smaller(piece, error, groups, counter) + todo
                    rows = None
            except MetaApiError as final:
                if failed is None:
                    raise
                todo = failed.without(piece, final, todo)
                groups.abandon(piece)
                continue
            if rows is not None:
                self.learn(piece, len(rows))
                if failed is not None:
                    failed.came()
                yield from groups.add(self.part(piece, rows, asked_at, "sync"))
            yield from groups.finished()

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
        rows = self._whole(self._report_reader(query).read(call, counter))
        check_rows(query, rows)
        self.learn(query, len(rows))
        return rows

    def part(
        self, query: InsightsQuery, rows: list[Row], asked_at: datetime, mode: Mode
    ) -> InsightsPart:
        """The finished piece of these rows, without what was refused."""
        read = self.without_refused(query)
        missing = frozenset(query.fields) - frozenset(self.fields.of(query))
        return InsightsPart(read, rows, asked_at, mode, self.left_out(query), missing)

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
        period by period. Anything else: halves by date, where one of the days can be read.
        """
        spans = query.spans
        if error.rule is UNEXPECTED_ROWS and len(spans) > 1:
            longest = max((stop - start).days + 1 for start, stop in spans)
            self.planner.too_large(query.account_id, query.level, query.grain, 2 * longest)
            return query.spans_apart()
        if error.suggests_smaller and self._may_be_size(query, error, counter):
            try:
                return self._split(query, error, groups, counter)
            except MetaApiError:
                self._forget_sizes(query)
                raise
        if self._is_of_some_days(query, error, counter):
            return query.date_halves()
        if error.suggests_smaller:
            self._forget_sizes(query)
        raise error

    def _forget_sizes(self, query: InsightsQuery) -> None:
        """No size helped, so it was no matter of size: other days are asked for as before."""
        self.fields.forget(query)
        self.sizes.forget(_size_key(query))

    def _is_of_some_days(
        self, query: InsightsQuery, error: MetaApiError, counter: CallCounter | None
    ) -> bool:
        """Whether one of several days can be read: one row of the oldest, newest or middle one.

        Three, as two bad days may well be both ends of a half.
        """
        days = query.spans_apart()
        if len(days) == 1 or not error.may_be_of_some_days:
            return False
        tried = [days[-1], days[0], days[len(days) // 2]]
        if error.suggests_smaller:
            tried.remove(days[0])  # `_may_be_size` has tried it
        return any(self._can_be_read(self._probe(each), counter) for each in dict.fromkeys(tried))

    def _can_be_read(self, probe: Call, counter: CallCounter | None) -> bool:
        failed = self.caller.error_of(probe, counter)
        if failed is not None and not failed.may_be_of_some_days:
            raise failed
        return failed is None

    def _may_be_size(
        self, query: InsightsQuery, error: MetaApiError, counter: CallCounter | None
    ) -> bool:
        """Whether a smaller request can help; one probe tells where Meta does not say so itself.

        Where one row of one day fails as well, Meta is ill, and pieces would be a storm of calls.
        """
        if error.kind is not ErrorKind.TRANSIENT or query.only_level is not None:
            return True
        if query.level == "account" and len(query.spans) == 1:
            return False
        failed = self.caller.error_of(self._probe(query), counter)
        if failed is None:
            return True
        if failed.kind is ErrorKind.RATE_LIMIT:
            raise failed
        return not failed.may_pass or failed.kind is ErrorKind.TOO_MUCH_DATA

    def _split(
        self,
        query: InsightsQuery,
        error: MetaApiError,
        groups: FieldGroups,
        counter: CallCounter | None,
    ) -> list[InsightsQuery]:
        if groups.holds(query):
            pieces = groups.split(query, error)
            if not pieces:  # a field was too much, so it was not the page
                self.sizes.forget(_size_key(query))
            return pieces
        if query.only_level is None:
            self.planner.too_large(query.account_id, query.level, query.grain, query.days)
        if len(query.spans) > 1:
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

    def _read_whole(self, query: InsightsQuery, counter: CallCounter | None) -> Listing:
        call = Call(
            "GET",
            f"act_{query.account_id}/insights",
            _get_params(self.params(query)),
            "insights",
            query.account_id,
            UseCase.INSIGHTS,
        )
        reader = self._list_reader(query, counter, whole=len(query.spans) > 1)
        return self._whole(reader.read(call, counter))

    @staticmethod
    def _whole(listing: Listing) -> Listing:
        """The rows of a list that came to its end; raises where it did not."""
        if listing.ended_early is not None:
            raise listing.ended_early
        return listing

    def _list_reader(
        self, query: InsightsQuery, counter: CallCounter | None, *, whole: bool
    ) -> ListReader:
        """A reader whose page shrinks: briefly where days can be halved instead, else fully.

        Only the "reduce the amount of data" response is about the page, or one that may stand for
        it; the others are about the report, and a smaller page of it fails the same way.
        """

        def repair(error: MetaApiError, call: Call) -> Repair | None:
            if not self.refused(query, error, call.params, counter):
                return None
            unset = {"filtering": None, WINDOWS_PARAMETER: None}
            return Repair(call.with_params(**{**unset, **_get_params(self.params(query))}))

        return ListReader(
            self.caller,
            self.sizes,
            _size_key(query),
            self.page_size,
            self.limits,
            smallest=max(SMALLEST_PAGE, self.page_size // 2) if whole else SMALLEST_PAGE,
            shrinks=lambda error: (
                error.rule.name == "reduce_data" or (not whole and _is_about_the_page(error))
            ),
            repair=repair,
        )

    def _report_reader(self, query: InsightsQuery) -> ListReader:
        """A reader of a report's rows. One that Meta does not know yet, or for a moment, is asked
        for again: its servers do not hear of a report at the same time.
        """
        looks = 0

        def repair(error: MetaApiError, call: Call) -> Repair | None:
            nonlocal looks
            if error.action is not Action.MARK_UNREACHABLE or looks == len(PAUSES_FOR_LOST):
                return None
            self.caller.sleep(PAUSES_FOR_LOST[looks])
            looks += 1
            return Repair(call, lasting=False)

        return ListReader(
            self.caller,
            self.sizes,
            _size_key(query),
            self.page_size,
            self.limits,
            shrinks=_is_about_the_page,
            repair=repair,
        )

    def _narrowed(
        self, query: InsightsQuery, counter: CallCounter | None, *, refused: bool = False
    ) -> list[InsightsQuery]:
        """A single day by halves of its campaigns, then ad sets, then ads; none when at its end.

        Which objects to expect comes from one small query without breakdown at their level.
        """
        level, ids = query.only_level, query.only_ids
        while len(ids) < 2:
            level = _next_level(level)
            if level is None or query.level not in _NARROWING[_NARROWING.index(level) :]:
                return []
            if refused and level == query.level:
                ids = self._listed_ids(query, level, counter)
                if not ids:
                    return []
            else:
                ids = self._ids(query, level, counter)
        size = min(math.ceil(len(ids) / 2), IDS_PER_FILTER)
        return [
            replace(query, only_level=level, only_ids=ids[first : first + size])
            for first in range(0, len(ids), size)
        ]

    def _listed_ids(
        self, query: InsightsQuery, level: Level, counter: CallCounter | None
    ) -> tuple[str, ...]:
        """The same from the list of a level whose insights are refused; none where that is, too."""
        parent = {"field": f"{query.only_level}.id", "operator": "IN", "value": query.only_ids}
        edge = EDGES[level] if level != "account" else ""
        params = {
            "fields": "id",
            "effective_status": EFFECTIVE_STATUSES[level],
            "filtering": [parent],
        }
        call = Call("GET", f"act_{query.account_id}/{edge}", params, edge, query.account_id)
        reader = ListReader(self.caller, self.sizes, f"{query.account_id}/ids", self.page_size)
        try:
            return tuple(sorted(str(row["id"]) for row in objects_of(reader.read(call, counter))))
        except MetaApiError as error:
            if not error.may_blame_a_part:
                raise
            return ()

    def _ids(
        self, query: InsightsQuery, level: Level, counter: CallCounter | None
    ) -> tuple[str, ...]:
        """The ids of an outline: all, or ``MetaApiError``.

        What it left out would not be asked for, and rows landed of it would go as restated.
        """
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
        size_key = f"{query.account_id}/ids"
        reader = ListReader(self.caller, self.sizes, size_key, self.page_size, self.limits)
        rows = self._whole(reader.read(call, counter))
        ids = [row.get(name) if isinstance(row, dict) else None for row in rows]
        odd = sum(not isinstance(each, str | int) or not each for each in ids)
        if odd:
            raise MetaApiError(
                BAD_RESPONSE,
                f"{odd} of {len(rows)} rows that list the {level}s of {query.since} have no {name}",
                what=f"{call.method} {call.path}",
                account_id=query.account_id,
            )
        return tuple(sorted({str(each) for each in ids}))


def _size_key(query: InsightsQuery) -> str:
    return f"{query.account_id}/{query.key}"


def _is_about_the_page(error: MetaApiError) -> bool:
    return error.rule.name == "reduce_data" or error.kind is ErrorKind.TRANSIENT


def _is_within(level: Level, of: Level) -> bool:
    """Whether rows of a level are about parts of another level's objects, or those themselves."""
    return level != "account" and _NARROWING.index(of) <= _NARROWING.index(level)


def _get_params(params: dict[str, Any]) -> dict[str, Any]:
    """GET takes ``fields`` comma-joined, as the SDK sends them."""
    return {**params, "fields": ",".join(params["fields"])}


def _next_level(level: Level | None) -> Level | None:
    if level is None:
        return _NARROWING[0]
    place = _NARROWING.index(level) + 1
    return _NARROWING[place] if place < len(_NARROWING) else None
