"""What is remembered of reports: bounds, started runs, how long they take."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from meta_ads_pipeline.meta_api.config import ReportLimits
from meta_ads_pipeline.meta_api.insights import InsightsQuery


@dataclass(frozen=True)
class StoredReport:
    """A report run that was started; Meta keeps its id for 30 days."""

    run_id: str
    created_at: datetime


class ReportStore(Protocol):
    """Where report runs are remembered, so that a restart reads them instead of asking anew.

    Thread-safe. A report is removed once it has been read or given up.
    """

    def find(self, key: str) -> StoredReport | None:
        """The run of this query, if one was started."""
        ...

    def save(self, key: str, report: StoredReport) -> None:
        """Remember a run just started."""
        ...

    def remove(self, key: str) -> None:
        """Forget it."""
        ...


class ReportPace:
    """How long reports take, learned from the finished ones. Thread-safe; seconds."""

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._lock = threading.Lock()

    def observe(self, seconds: float) -> None:
        """Learn from a report that was found finished after so long."""
        with self._lock:
            self._seconds = (
                seconds if self._seconds is None else min(seconds, (self._seconds + seconds) / 2)
            )

    def expected(self, limits: ReportLimits) -> float:
        """When to look at a new report for the first time."""
        with self._lock:
            seconds = limits.first_poll if self._seconds is None else self._seconds
        return min(max(seconds, limits.first_poll), limits.longest_poll)


def report_key(query: InsightsQuery) -> str:
    """The same for the same query, short, and without anything secret."""
    narrowed = f"/{query.only_level}:{_digest(query.only_ids)}" if query.only_level else ""
    windows = "".join(f"/{name}" for name in query.attribution_windows)
    measures = f"/fields:{_digest(query.measures)}" if query.measures else ""
    days = f"{query.since}/{query.until}"
    return f"{query.account_id}/{query.level}/{query.grain}/{days}{narrowed}{measures}{windows}"


def _digest(names: tuple[str, ...]) -> str:
    return hashlib.sha256(",".join(names).encode()).hexdigest()[:12]
