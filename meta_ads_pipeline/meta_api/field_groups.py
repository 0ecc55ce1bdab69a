"""Where all fields at once are too much: groups of them, asked one by one, and the rows of all.

Every group keeps the ids and asks for the same objects and days, so that its rows have the keys of
the others'. The groups are asked one after the other: where an account's numbers move meanwhile,
one group may have rows that another lacks, or measures that are a moment newer. Nothing is left out
or filled in for that; a row has what was returned for it, and the reconciliation of the account's
three pulls tells when the groups do not belong together.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from meta_ads_pipeline.insights_tables import Grain, Level
from meta_ads_pipeline.meta_api.error_kinds import ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.fields import (
    ACTION_FIELDS,
    ESSENTIAL_FIELDS,
    HOURLY_BREAKDOWN,
    LEVEL_IDS,
    DroppedFields,
)
from meta_ads_pipeline.meta_api.insights_query import InsightsPart, InsightsQuery
from meta_ads_pipeline.meta_api.paging import Row
from meta_ads_pipeline.meta_api.request_planner import InsightsRequestPlanner

logger = logging.getLogger(__name__)

HOLES_BEFORE_DROPPED = 3
"""Objects and days for which a field cannot be had, until it is left out of the account's reports
of that kind: each of them costs as many calls as it takes to find that out."""

_Reports = tuple[str, Level, Grain]


class FieldMemory:
    """How many fields at once were too much, and which alone are. Thread-safe."""

    def __init__(self, dropped: DroppedFields, planner: InsightsRequestPlanner) -> None:
        self._dropped, self._planner = dropped, planner
        self._widest: dict[_Reports, int] = {}
        self._holes: Counter[tuple[_Reports, str]] = Counter()
        self._lock = threading.Lock()

    def of(self, query: InsightsQuery) -> tuple[str, ...]:
        """The fields to ask for: the ids, and those measures that Meta has not refused."""
        kept = self._dropped.keep(query.key, query.fields)
        return self._dropped.keep(account_key(query), kept)

    def measures(self, query: InsightsQuery) -> tuple[str, ...]:
        """Of these, what is not an id."""
        ids = LEVEL_IDS[query.level]
        return tuple(name for name in self.of(query) if name not in ids)

    def widest(self, query: InsightsQuery) -> int | None:
        """The most measures to ask for at once of a single object and day; None: no bound known."""
        with self._lock:
            return self._widest.get(_reports(query))

    def too_wide(self, query: InsightsQuery, measures: int) -> None:
        """Remember that so many measures of a single object and day were too much."""
        with self._lock:
            key = _reports(query)
            self._widest[key] = min(max(1, measures // 2), self._widest.get(key, measures))

    def forget(self, query: InsightsQuery) -> None:
        """Ask for all fields and days at once again: no number of them was the reason."""
        key = _reports(query)
        with self._lock:
            self._widest.pop(key, None)
        self._planner.fits_after_all(*key)

    def hole(self, query: InsightsQuery, name: str, error: MetaApiError) -> None:
        """Record that a field cannot be had even alone, here and, if that goes on, at all."""
        key = _reports(query)
        with self._lock:
            self._holes[(key, name)] += 1
            lasting = self._holes[(key, name)] >= HOLES_BEFORE_DROPPED
        # That field was too much, whatever it was asked with.
        self.forget(query)
        where = f"{account_key(query)}/{query.since}"
        if query.only_level is not None:
            where += f"/{query.only_level} {','.join(query.only_ids)}"
        logger.warning("%s: %s cannot be read and is left out: %s", where, name, error)
        self._dropped.record(where, (name,), error)
        if lasting:
            self._dropped.record(account_key(query), (name,), error)


class FieldGroups:
    """The groups of one read that are under way. Not thread-safe: the read's own thread asks."""

    def __init__(self, memory: FieldMemory) -> None:
        self._memory = memory
        self._whole: dict[InsightsQuery, InsightsQuery] = {}
        self._open: dict[InsightsQuery, set[InsightsQuery]] = {}
        self._parts: dict[InsightsQuery, list[InsightsPart]] = {}

    def holds(self, query: InsightsQuery) -> bool:
        """Whether the query is one of the groups."""
        return _place(query) in self._whole

    def fitting(self, query: InsightsQuery) -> list[InsightsQuery]:
        """The query or group, split beforehand where its fields are known to be too much."""
        widest, measures = self._memory.widest(query), self._memory.measures(query)
        single = self.holds(query) or _is_single(query)
        if single and widest is not None and len(measures) > widest:
            return self._pieces(query, measures, widest)
        if self.holds(query) and measures and measures != query.measures:
            return self._pieces(query, measures, len(measures))
        return [query]

    def split(self, query: InsightsQuery, error: MetaApiError) -> list[InsightsQuery]:
        """Smaller groups in place of a query that was too much; none when it was one field.

        Then that is left out and recorded; raises the error where rows mean nothing without it.
        """
        measures = self._memory.measures(query)
        if self.holds(query) and measures and measures != query.measures:
            # One was left out while this was under way: it may have been the reason.
            return self._pieces(query, measures, len(measures))
        if len(measures) > 1:
            self._memory.too_wide(query, len(measures))
            return self._pieces(query, measures, self._memory.widest(query) or 1)
        if not self.holds(query) or ESSENTIAL_FIELDS.intersection(measures):
            raise error
        whole = self._whole.pop(_place(query))
        self._open[whole].discard(_place(query))
        passing = error.kind is ErrorKind.TRANSIENT
        if whole not in self._parts and (passing or not self._open[whole]):
            raise error  # none could be had so far: it is not this one
        for name in measures:  # none where it was left out while this was under way
            self._memory.hole(query, name, error)
        return []

    def add(self, part: InsightsPart) -> list[InsightsPart]:
        """Take a response; it comes back at once unless it is a group's."""
        place = _place(part.query)
        whole = self._whole.pop(place, None)
        if whole is None:
            return [part]
        self._open[whole].discard(place)
        self._parts.setdefault(whole, []).append(part)
        return []

    def finished(self) -> list[InsightsPart]:
        """Responses of which every group has come or was left out, put together."""
        done = [whole for whole, waiting in self._open.items() if not waiting]
        parts = []
        for whole in done:
            del self._open[whole]
            groups = self._parts.pop(whole)
            parts.append(
                replace(
                    groups[0],
                    query=replace(whole, attribution_windows=_windows(groups)),
                    rows=merge_rows([group.rows for group in groups], whole.level),
                    pulled_at=min(group.pulled_at for group in groups),
                    left_out=tuple(each for group in groups for each in group.left_out),
                    missing=frozenset(whole.fields).difference(
                        *({*group.query.fields} - group.missing for group in groups)
                    ),
                )
            )
        return parts

    def abandon(self, query: InsightsQuery) -> None:
        """Forget the groups of the query's days: one of them failed, and the others are in vain."""
        for whole in [each for each in self._open if {*each.dates} <= {*query.dates}]:
            del self._open[whole]
            self._parts.pop(whole, None)
        self._whole = {each: whole for each, whole in self._whole.items() if whole in self._open}

    def _pieces(
        self, query: InsightsQuery, measures: Sequence[str], widest: int
    ) -> list[InsightsQuery]:
        whole = self._whole.pop(_place(query), query)
        waiting = self._open.setdefault(whole, set())
        waiting.discard(_place(query))
        count = -(-len(measures) // widest)
        bounds = [len(measures) * number // count for number in range(count + 1)]
        pieces = []
        for first, after in itertools.pairwise(bounds):
            piece = replace(query, measures=tuple(measures[first:after]))
            if ACTION_FIELDS.isdisjoint(piece.measures):
                piece = replace(piece, attribution_windows=())
            pieces.append(piece)
            self._whole[_place(piece)] = whole
            waiting.add(_place(piece))
        return pieces


def merge_rows(groups: Sequence[Sequence[Any]], level: Level) -> list[Row]:
    """One row for each key that any group has, with the members of all groups that have it.

    The key is what the row is about: its ids, dates and hour. Should a group have a key twice, the
    second is the second of the others, too. What is no object is passed on as it is.
    """
    names = (*LEVEL_IDS[level], "date_start", "date_stop", HOURLY_BREAKDOWN)
    merged: dict[tuple[Any, ...], Row] = {}
    odd: list[Row] = []
    for rows in groups:
        seen: Counter[tuple[Any, ...]] = Counter()
        for row in rows:
            if not isinstance(row, dict):
                odd.append(row)
                continue
            key = tuple(str(row.get(name)) for name in names)
            seen[key] += 1
            merged.setdefault((*key, seen[key]), {}).update(row)
    return [*merged.values(), *odd]


def account_key(query: InsightsQuery) -> str:
    """What fields that cannot be had for one account are remembered under."""
    return f"{query.key}/act_{query.account_id}"


def _reports(query: InsightsQuery) -> _Reports:
    return query.account_id, query.level, query.grain


def _place(query: InsightsQuery) -> InsightsQuery:
    """The query whatever its attribution windows: refused ones go on the way."""
    return replace(query, attribution_windows=())


def _is_single(query: InsightsQuery) -> bool:
    """Whether it is about one object and one row's days, as small as it gets but for its fields."""
    single = query.level == "account" or (
        query.only_level == query.level and len(query.only_ids) == 1
    )
    return single and len(query.spans) == 1


def _windows(groups: Sequence[InsightsPart]) -> tuple[str, ...]:
    """The attribution windows that every group with actions was asked for."""
    asked = [group.query.attribution_windows for group in groups if group.query.attribution_windows]
    return tuple(name for name in asked[0] if all(name in each for each in asked)) if asked else ()
