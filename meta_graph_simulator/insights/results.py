"""Insights rows, computed in pieces, encoded once, paged from memory."""

from __future__ import annotations

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import accumulate
from typing import Any

import orjson

from meta_graph_simulator.accounts.source import AccountSource, ParameterError
from meta_graph_simulator.clock import SimulatedClock
from meta_graph_simulator.insights.parameters import HOURLY, ReportRequest, as_graph_error
from meta_graph_simulator.insights.query import InsightsQuery
from meta_graph_simulator.insights.run import run, summarize

_LIVE_SECONDS = 60  # simulated seconds after which a range that ends today is computed anew


@dataclass(frozen=True, slots=True)
class Chunk:
    """Encoded rows, joined by commas: a page is then one slice, and memory has no holes."""

    body: bytes
    starts: array[int]  # of every row, and of the row that would follow
    basis: tuple[object, ...]

    @classmethod
    def of(cls, rows: list[dict[str, Any]], basis: tuple[object, ...]) -> Chunk:
        """Rows encoded."""
        encoded = [orjson.dumps(row) for row in rows]
        lengths = (len(row) + 1 for row in encoded)
        return cls(b",".join(encoded), array("L", accumulate(lengths, initial=0)), basis)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def size(self) -> int:
        """Bytes held."""
        return len(self.body) + len(self.starts) * self.starts.itemsize

    def rows(self, start: int, stop: int) -> bytes:
        """Rows ``start`` to ``stop`` (half-open, cut to what there is), joined by commas."""
        stop = min(stop, len(self))
        return self.body[self.starts[start] : self.starts[stop] - 1] if start < stop else b""


@dataclass(slots=True)
class Rows:
    """Part of a result: encoded rows, their number, and whether more follow."""

    parts: list[bytes] = field(default_factory=list)
    count: int = 0
    more: bool = False

    def add(self, chunk: Chunk, start: int, stop: int) -> None:
        """Append rows of a chunk, cut to what it has."""
        count = min(stop, len(chunk)) - start
        if count > 0:
            self.parts.append(chunk.rows(start, stop))
            self.count += count

    @property
    def body(self) -> bytes:
        """The rows joined by commas: a JSON array without its brackets."""
        return b",".join(self.parts)


class RowCache:
    """Least recently used chunks of encoded rows, bounded by their total size in bytes."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._chunks: OrderedDict[tuple[int, int], Chunk] = OrderedDict()

    def get(self, key: tuple[int, int]) -> Chunk | None:
        """A chunk, marked as just used."""
        chunk = self._chunks.get(key)
        if chunk is not None:
            self._chunks.move_to_end(key)
        return chunk

    def put(self, key: tuple[int, int], chunk: Chunk) -> None:
        """Keep a chunk; the longest unused ones make room."""
        old = self._chunks.pop(key, None)
        if old is not None:
            self.size -= old.size
        self._chunks[key] = chunk
        self.size += chunk.size
        while self.size > self.capacity and len(self._chunks) > 1:
            _, dropped = self._chunks.popitem(last=False)
            self.size -= dropped.size

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self.size = 0


class ResultSet:
    """The rows of one report. A day is a chunk where days stand alone, else a range is.

    A frozen set (an async job's) keeps what it once computed; a live one computes a chunk again
    after the data below it changed.
    """

    _serial = 0

    def __init__(
        self, request: ReportRequest, cache: RowCache, clock: SimulatedClock, *, frozen: bool
    ) -> None:
        ResultSet._serial += 1
        self._id = ResultSet._serial
        self.request = request
        self._cache = cache
        self._clock = clock
        self._frozen = frozen
        self._queries = tuple(chunk for query in request.queries for chunk in split_by_day(query))
        self._counts: list[int | None] = [None] * len(self._queries)

    @property
    def source(self) -> AccountSource:
        """Where the rows come from."""
        return self.request.node.source

    def _basis(self, query: InsightsQuery) -> tuple[object, ...]:
        entities = self.source.entities()
        if query.since == query.until:
            return entities, self.source.delivery(query.since)
        return entities, int(self._clock.time() // _LIVE_SECONDS)

    def chunk(self, index: int) -> Chunk:
        """One chunk, from the cache if what it was made from still holds.

        Raises GraphError: where the insights engine refuses the parameters.
        """
        query = self._queries[index]
        cached = self._cache.get((self._id, index))
        basis = () if self._frozen else self._basis(query)
        if cached is not None and _same(cached.basis, basis):
            return cached
        try:
            made = Chunk.of(run(self.source, query), basis)
        except ParameterError as error:
            raise as_graph_error(error) from error
        self._counts[index] = len(made)
        self._cache.put((self._id, index), made)
        return made

    async def compute_all(self) -> int:
        """Compute every chunk, letting other calls through between them; the number of rows."""
        return await self.count_up_to(None)

    async def count_up_to(self, enough: int | None) -> int:
        """The number of rows, or a number above ``enough`` as soon as that is known."""
        total = 0
        for index in range(len(self._queries)):
            count = self._counts[index]
            if count is None:
                count = len(self.chunk(index))
                await asyncio.sleep(0)
            total += count
            if enough is not None and total > enough:
                break
        return total

    def upper_bound(self) -> int | None:
        """A cheap bound of the number of rows; None where other breakdowns make it unknown."""
        query = self.request.queries[0]
        if set(query.breakdowns) - {HOURLY} or set(query.action_breakdowns) - {"action_type"}:
            return None
        objects = len(self.source.objects("ad")) + 1
        days = sum((item.until - item.since).days + 1 for item in self.request.queries)
        return objects * days * (24 if HOURLY in query.breakdowns else 1)

    async def slice(self, start: int, stop: int) -> Rows:
        """Rows ``start`` to ``stop`` (half-open).

        Chunks before the slice are computed only where their count is not known yet.
        """
        found = Rows()
        offset = 0
        for index in range(len(self._queries)):
            count = self._counts[index]
            if count is None or (offset + count > start and found.count < stop - start):
                chunk = self.chunk(index)
                count = len(chunk)
                found.add(chunk, max(0, start - offset), max(0, stop - offset))
                if offset + count > stop:
                    found.more = True
                    return found
                await asyncio.sleep(0)
            elif offset + count > stop:
                found.more = True
                return found
            offset += count
        return found

    def head(self, limit: int) -> Rows:
        """The first rows, at once: for results nested in a field list."""
        found = Rows()
        for index in range(len(self._queries)):
            chunk = self.chunk(index)
            wanted = limit - found.count
            found.add(chunk, 0, wanted)
            if len(chunk) > wanted:
                found.more = True
                break
        return found

    def summary(self) -> dict[str, object]:
        """Totals over everything, for ``default_summary``."""
        try:
            return summarize(self.source, self.request.queries[0])
        except ParameterError as error:
            raise as_graph_error(error) from error


def split_by_day(query: InsightsQuery) -> Sequence[InsightsQuery]:
    """One query a day where that gives the same rows: daily increments without an order."""
    if query.time_increment != 1 or query.sort:
        return (query,)
    days = (query.until - query.since).days + 1
    dates = (query.since + timedelta(days=number) for number in range(days))
    return tuple(replace(query, since=day, until=day) for day in dates)


def _same(old: tuple[object, ...], new: tuple[object, ...]) -> bool:
    return len(old) == len(new) and all(
        a is b or (isinstance(a, int) and a == b) for a, b in zip(old, new, strict=True)
    )


class ReportCache:
    """Live result sets by request, so that the pages of one report are computed once."""

    def __init__(self, clock: SimulatedClock, capacity: int, entries: int = 256) -> None:
        self.rows = RowCache(capacity)
        self._clock = clock
        self._entries = entries
        self._live: OrderedDict[str, ResultSet] = OrderedDict()

    def live(self, request: ReportRequest) -> ResultSet:
        """The shared result set of a synchronous request."""
        key = f"{request.node.account_id}|{request.node.id}|{request.queries!r}"
        found = self._live.get(key)
        if found is None:
            found = self._live[key] = ResultSet(request, self.rows, self._clock, frozen=False)
            if len(self._live) > self._entries:
                self._live.popitem(last=False)
        self._live.move_to_end(key)
        return found

    def frozen(self, request: ReportRequest) -> ResultSet:
        """A result set of its own for an async job."""
        return ResultSet(request, self.rows, self._clock, frozen=True)

    def forget_live(self) -> None:
        """Compute synchronous results anew; those of jobs stay as they were."""
        self._live.clear()

    def clear(self) -> None:
        """Forget all rows and live result sets."""
        self._live.clear()
        self.rows.clear()
