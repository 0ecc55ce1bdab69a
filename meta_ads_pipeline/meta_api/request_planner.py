"""Choose how a range of insights is read: synchronously or by reports, in which windows.

A synchronous read costs one call a page; a report costs one to create, some to poll, then the same
pages, but Meta computes it once, whatever its size. So small queries go synchronously and large
ones as reports, cut into windows that can be read side by side.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType
from typing import Literal

from meta_ads_pipeline.insights_tables import Grain, Level
from meta_ads_pipeline.meta_api.config import PlanLimits
from meta_ads_pipeline.meta_api.priority import days_by_priority

Mode = Literal["sync", "async"]

# Rows a day to expect of an account nothing is known about. Wrong guesses cost little: the first
# pull replaces them.
UNKNOWN_ROWS_PER_DAY: Mapping[tuple[Level, Grain], float] = MappingProxyType(
    {
        ("account", "hour"): 24,
        ("account", "day"): 1,
        ("campaign", "hour"): 200,
        ("campaign", "day"): 10,
        ("adset", "hour"): 400,
        ("adset", "day"): 20,
        ("ad", "hour"): 800,
        ("ad", "day"): 50,
    }
)


@dataclass(frozen=True)
class Window:
    """Whole account-local days from ``since`` to ``until``, both included, read in one go."""

    since: date
    until: date
    mode: Mode
    expected_rows: float

    @property
    def days(self) -> int:
        """How many days it covers."""
        return (self.until - self.since).days + 1


@dataclass(frozen=True)
class Plan:
    """Windows, newest first, and what they should cost."""

    windows: tuple[Window, ...]
    limits: PlanLimits

    @property
    def expected_rows(self) -> int:
        """Rows expected in all."""
        return round(sum(window.expected_rows for window in self.windows))

    @property
    def expected_calls(self) -> int:
        """Calls expected in all: pages, and for reports their creation and polls."""
        calls = 0.0
        for window in self.windows:
            calls += max(1, math.ceil(window.expected_rows / self.limits.page_size))
            if window.mode == "async":
                calls += 1 + self.limits.polls_per_report
        return math.ceil(calls)


@dataclass
class InsightsRequestPlanner:
    """Plans reads, and learns from them what to expect. Thread-safe."""

    limits: PlanLimits = field(default_factory=PlanLimits)

    def __post_init__(self) -> None:
        """Start without knowledge."""
        self._lock = threading.Lock()
        self._rows_per_day: dict[tuple[str, Level, Grain], float] = {}
        self._longest: dict[tuple[str, Level, Grain], int] = {}

    def rows_per_day(self, account_id: str, level: Level, grain: Grain) -> float:
        """Expected rows a day: as last seen, else a guess."""
        with self._lock:
            seen = self._rows_per_day.get((account_id, level, grain))
        return UNKNOWN_ROWS_PER_DAY[(level, grain)] if seen is None else seen

    def observe(self, account_id: str, level: Level, grain: Grain, days: int, rows: int) -> None:
        """Learn from a finished window; a busier window than expected counts at once."""
        key, found = (account_id, level, grain), rows / days
        with self._lock:
            before = self._rows_per_day.get(key, found)
            self._rows_per_day[key] = max(found, (before + found) / 2)

    def too_large(self, account_id: str, level: Level, grain: Grain, days: int) -> None:
        """Remember that so many days at once were too much; 1 means that even a day is."""
        key = (account_id, level, grain)
        with self._lock:
            self._longest[key] = min(days // 2, self._longest.get(key, days // 2))

    def fits_after_all(self, account_id: str, level: Level, grain: Grain) -> None:
        """Forget what was too large: a field was the reason, not the size."""
        with self._lock:
            self._longest.pop((account_id, level, grain), None)

    def longest(self, account_id: str, level: Level, grain: Grain) -> int | None:
        """The most days to ask for at once; 0 if even a day is too much, None if unknown."""
        with self._lock:
            return self._longest.get((account_id, level, grain))

    def plan(
        self,
        account_id: str,
        level: Level,
        grain: Grain,
        start: date,
        end: date,
        rows_per_day: float | None = None,
        today: date | None = None,
    ) -> Plan:
        """Windows that cover ``start`` to ``end`` (both included) exactly once, newest first.

        With ``today`` (account-local) a long range is cut where the priority of its days changes,
        so that its newest days come first and do not wait for the oldest ones' share of the budget.
        A short range is asked for as one: cutting it would cost more calls than it saves waiting.
        """
        if end < start:
            raise ValueError(f"the range ends before it starts: {start} to {end}")
        limits = self.limits
        each_day = (
            self.rows_per_day(account_id, level, grain) if rows_per_day is None else rows_per_day
        )
        days = (end - start).days + 1
        total = each_day * days
        spans = [] if today is None else days_by_priority(start, end, today)
        if total > limits.cut_from_rows and len(spans) > 1:
            windows: list[Window] = []
            for first, last in spans:
                share = ((last - first).days + 1) / days
                readers = math.ceil(limits.parallel * share)
                windows += self._windows(account_id, level, grain, first, last, each_day, readers)
            return Plan(tuple(windows), limits)
        windows = self._windows(account_id, level, grain, start, end, each_day, limits.parallel)
        return Plan(tuple(windows), limits)

    def _windows(
        self,
        account_id: str,
        level: Level,
        grain: Grain,
        start: date,
        end: date,
        each_day: float,
        readers: int,
    ) -> list[Window]:
        limits, days = self.limits, (end - start).days + 1
        total = each_day * days
        mode: Mode = "sync" if total <= limits.sync_rows else "async"
        side_by_side = min(readers, math.ceil(total / (limits.page_size * limits.pages_per_window)))
        count = max(1, side_by_side)
        if mode == "async":
            count = max(
                count, math.ceil(total / limits.report_rows), math.ceil(days / limits.report_days)
            )
        longest = self.longest(account_id, level, grain)
        if longest is not None:
            count = max(count, math.ceil(days / max(longest, 1)))
        return _windows(start, days, min(count, days), mode, each_day)


def _windows(start: date, days: int, count: int, mode: Mode, rows_per_day: float) -> list[Window]:
    """``count`` windows of nearly equal length, newest first."""
    bounds = [days * number // count for number in range(count + 1)]
    windows = [
        Window(
            start + timedelta(days=first),
            start + timedelta(days=after - 1),
            mode,
            rows_per_day * (after - first),
        )
        for first, after in itertools.pairwise(bounds)
    ]
    return windows[::-1]
