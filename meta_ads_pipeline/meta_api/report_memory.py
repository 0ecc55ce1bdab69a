"""What is remembered of reports: bounds, started runs, how long they take."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from meta_ads_pipeline.meta_api.insights import InsightsQuery


@dataclass(frozen=True)
class JobLimits:
    """Times in seconds. `in_flight` bounds windows of one question that are under way at once."""

    first_poll: float = 2.0
    longest_poll: float = 30.0
    stuck_after: float = 300.0
    job_time: float = 1800.0
    total_time: float = 3600.0
    in_flight: int = 10
    adopt_within: float = 3600.0


@dataclass(frozen=True)
class StoredJob:
    """A report run that was started; Meta keeps its id for 30 days."""

    run_id: str
    created_at: datetime


class JobStore(Protocol):
    """Where report runs are remembered, so that a restart reads them instead of asking anew.

    Thread-safe. A job is removed once it has been read or given up.
    """

    def find(self, key: str) -> StoredJob | None:
        """The run of this question, if one was started."""
        ...

    def save(self, key: str, job: StoredJob) -> None:
        """Remember a run just started."""
        ...

    def remove(self, key: str) -> None:
        """Forget it."""
        ...


class MemoryJobStore:
    """Remembers jobs for the life of the process."""

    def __init__(self) -> None:
        self._jobs: dict[str, StoredJob] = {}
        self._lock = threading.Lock()

    def find(self, key: str) -> StoredJob | None:
        """The run of this question, if one was started."""
        with self._lock:
            return self._jobs.get(key)

    def save(self, key: str, job: StoredJob) -> None:
        """Remember a run just started."""
        with self._lock:
            self._jobs[key] = job

    def remove(self, key: str) -> None:
        """Forget it."""
        with self._lock:
            self._jobs.pop(key, None)


class JobPace:
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

    def expected(self, limits: JobLimits) -> float:
        """When to look at a new report for the first time."""
        with self._lock:
            seconds = limits.first_poll if self._seconds is None else self._seconds
        return min(max(seconds, limits.first_poll), limits.longest_poll)


def job_key(query: InsightsQuery) -> str:
    """The same for the same question, short, and without anything secret."""
    narrowed = f"/{query.only_level}:{_digest(query.only_ids)}" if query.only_level else ""
    windows = "".join(f"/{name}" for name in query.attribution_windows)
    measures = f"/fields:{_digest(query.measures)}" if query.measures else ""
    days = f"{query.since}/{query.until}"
    return f"{query.account_id}/{query.level}/{query.grain}/{days}{narrowed}{measures}{windows}"


def _digest(names: tuple[str, ...]) -> str:
    return hashlib.sha256(",".join(names).encode()).hexdigest()[:12]
