"""Async report runs: created, progressing on the simulated clock, completed or not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from meta_graph_simulator.clock import SimulatedClock
from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.graph.errors import report_not_ready
from meta_graph_simulator.insights.results import ResultSet

Outcome = Literal["completed", "failed", "skipped", "stuck", "hundred_running"]
_STARTED_AT, _RUNNING_AT = 0.05, 0.15  # shares of the duration
_TIMED_OUT = {
    "error_code": 100,
    "error_subcode": 1487534,
    "error_message": "(#100) Invalid parameter",
    "error_user_title": "Query Has Timed Out",
    "error_user_msg": "Your query timed out because it asks for too much data. Try a smaller date"
    " range or fewer fields.",
}
_FAILED = {
    "error_code": 2,
    "error_subcode": 1504044,
    "error_message": "(#2) Service temporarily unavailable",
    "error_user_title": "Report Failed",
    "error_user_msg": "The report could not be generated. Please try again later.",
}


@dataclass(slots=True)
class ReportRun:
    """One report run. Times are simulated Unix seconds."""

    id: str
    account_id: str
    results: ResultSet = field(repr=False)
    created_at: float
    duration: float
    with_summary: bool
    outcome: Outcome = "completed"
    stuck_at: int = 0
    failure: dict[str, Any] = field(default_factory=dict)
    rows: int | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def status(self, now: float) -> tuple[str, int, float | None]:
        """``async_status``, ``async_percent_completion`` and the moment of completion."""
        share = 1.0 if self.duration <= 0 else (now - self.created_at) / self.duration
        if self.outcome == "stuck":
            percent = min(self.stuck_at, int(share * 100))
            return ("Job Running" if self.stuck_at else "Job Not Started"), percent, None
        if share >= 1.0:
            done_at = self.created_at + self.duration
            if self.outcome == "failed":
                return "Job Failed", int(self.stuck_at), done_at
            if self.outcome == "skipped":
                return "Job Skipped", 0, done_at
            if self.outcome == "hundred_running":
                return "Job Running", 100, None
            return "Job Completed", 100, done_at
        percent = int(share * 100)
        if share < _STARTED_AT:
            return "Job Not Started", 0, None
        return ("Job Started" if share < _RUNNING_AT else "Job Running"), percent, None

    def document(self, now: float) -> dict[str, Any]:
        """The report run as ``GET /<report_run_id>`` returns it."""
        status, percent, completed = self.status(now)
        document: dict[str, Any] = {
            "id": self.id,
            "account_id": self.account_id,
            "time_ref": int(self.created_at),
            "async_status": status,
            "async_percent_completion": percent,
            "is_running": status in {"Job Started", "Job Running"},
            "date_start": self.results.request.since.isoformat(),
            "date_stop": self.results.request.until.isoformat(),
        }
        if completed is not None:
            document["time_completed"] = int(completed)
        if status == "Job Failed":
            document |= self.failure
        return document


class ReportRuns:
    """All report runs of a simulator."""

    def __init__(self, config: SimulatorConfig, clock: SimulatedClock) -> None:
        self._config = config
        self._clock = clock
        self._jobs: dict[str, ReportRun] = {}
        # Ids must differ from those of an earlier server that a client may still remember.
        self._next_id = 6_000_000_000_000_000 + time.time_ns() // 1000

    def create(
        self,
        results: ResultSet,
        *,
        outcome: Outcome = "completed",
        stuck_at: int = 0,
        failure: dict[str, Any] | None = None,
        seconds: float | None = None,
    ) -> ReportRun:
        """Start a job; its rows are computed in the background, so that it is a snapshot.

        Raises GraphError: where the insights engine refuses the parameters.
        """
        results.chunk(0)
        request = results.request
        self._next_id += 7
        job = ReportRun(
            id=str(self._next_id),
            account_id=request.node.account_id,
            results=results,
            created_at=self._clock.time(),
            duration=self._config.job_seconds if seconds is None else seconds,
            with_summary=request.with_summary,
            outcome=outcome,
            stuck_at=stuck_at,
            failure=_FAILED | (failure or {}),
        )
        self._jobs[job.id] = job
        job.task = asyncio.get_running_loop().create_task(self._compute(job))
        return job

    async def _compute(self, job: ReportRun) -> None:
        job.rows = await job.results.compute_all()
        job.duration += self._config.job_seconds_per_1000_rows * job.rows / 1000
        limit = self._config.max_job_rows
        if limit is not None and job.rows > limit:
            job.outcome, job.failure, job.stuck_at = "failed", dict(_TIMED_OUT), 0

    def find(self, job_id: str) -> ReportRun | None:
        """A report run by id, None if unknown or past its lifetime."""
        job = self._jobs.get(job_id)
        if job is None:
            return None
        if self._clock.time() - job.created_at > self._config.job_lifetime_days * 86_400:
            del self._jobs[job_id]
            return None
        return job

    async def document(self, job: ReportRun) -> dict[str, Any]:
        """Status of a job now. Row limits and durations by rows need its count first."""
        if self._config.max_job_rows is not None or self._config.job_seconds_per_1000_rows:
            await self._settled(job)
        return job.document(self._clock.time())

    async def check_readable(self, job: ReportRun) -> None:
        """Refuse the results of a job that is not completed with 2601/1815107."""
        document = await self.document(job)
        if document["async_status"] != "Job Completed":
            raise report_not_ready()

    @staticmethod
    async def _settled(job: ReportRun) -> None:
        if job.task is not None:
            await asyncio.shield(job.task)

    async def settle(self) -> None:
        """Wait for all background computing; done before the data below is changed."""
        tasks = [job.task for job in self._jobs.values() if job.task and not job.task.done()]
        await asyncio.gather(*tasks, return_exceptions=True)

    def counts(self) -> dict[str, int]:
        """Number of jobs by status."""
        counted: dict[str, int] = {}
        for job in self._jobs.values():
            status = job.status(self._clock.time())[0]
            counted[status] = counted.get(status, 0) + 1
        return counted

    def clear(self) -> None:
        """Forget all jobs."""
        for job in self._jobs.values():
            if job.task is not None:
                job.task.cancel()
        self._jobs.clear()
