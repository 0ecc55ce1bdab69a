"""What is remembered of reports: bounds, started runs, how long they take."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from meta_ads_pipeline.meta_api.config import ReportLimits
from meta_ads_pipeline.meta_api.insights_query import InsightsQuery


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


def report_key(query: InsightsQuery, params: Mapping[str, Any], api_version: str) -> str:
    """The same for the same report: of one account, fields, filters, windows, dates and version.

    Holds nothing secret.
    """
    told = json.dumps([params, api_version], sort_keys=True, default=str)
    digest = hashlib.sha256(told.encode()).hexdigest()[:24]
    days = f"{query.since}/{query.until}"
    return f"{query.account_id}/{query.level}/{query.grain}/{days}/{digest}"
