"""Insights reports that Meta computes in the background, and several windows in flight at once.

A report is done only when its status is "Job Completed" and it stands at 100 percent (reports at
100 percent that are still running exist). One that fails, is skipped or stands still gets one
replacement, then is asked in smaller pieces; all of it within a total time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from meta_ads_pipeline.insights_tables import Grain, Level
from meta_ads_pipeline.meta_api.batch import read_nodes
from meta_ads_pipeline.meta_api.calls import Call, CallCounter
from meta_ads_pipeline.meta_api.config import ReportLimits
from meta_ads_pipeline.meta_api.error_rules import (
    BAD_RESPONSE,
    REPORT_FAILED,
    REPORTS_LATE,
    Action,
    ErrorKind,
)
from meta_ads_pipeline.meta_api.errors import MetaApiError, error_from_envelope
from meta_ads_pipeline.meta_api.field_groups import FieldGroups
from meta_ads_pipeline.meta_api.insights import InsightsReader
from meta_ads_pipeline.meta_api.insights_query import InsightsPart, InsightsQuery
from meta_ads_pipeline.meta_api.priority import calls_about
from meta_ads_pipeline.meta_api.report_memory import (
    ReportPace,
    ReportStore,
    StoredReport,
    report_key,
)
from meta_ads_pipeline.meta_api.request_planner import Window
from meta_ads_pipeline.meta_api.usage import UseCase
from meta_ads_pipeline.meta_api.waiting import carried, waiting_for_threads

STATUS_FIELDS = (
    "id",
    "async_status",
    "async_percent_completion",
    "error_code",
    "error_subcode",
    "error_message",
)
DONE = "Job Completed"
# Reports due within this many seconds of each other are looked at in one request.
POLL_TOGETHER = 0.5
ENDED_BADLY = ("Job Failed", "Job Skipped")


@dataclass
class RunningReport:
    """One report on its way; times are the run's clock, in seconds."""

    query: InsightsQuery
    stored: StoredReport
    started: float
    changed: float
    next_poll: float
    looked: float
    replaces: bool = False
    state: tuple[str, int] = ("", -1)


MOST_REFUSED = 3
"""Reports refused one after the other, until a refused one is no longer asked for by halves."""

Read = tuple[list[InsightsPart], MetaApiError | None]
"""The parts that came, and what failed beside them."""

Outcome = Read | RunningReport


@dataclass
class InsightsRun:
    """Reads the windows of one query, some at once, and gives each part as it is done.

    The calling thread starts, polls and decides; the executor's threads create reports and read
    pages. Days that fail do not cost the others: their errors are raised when all else is done,
    with their dates. What every day would fail with ends the run: at once where the token or the
    budget is refused, else when the windows under way are done.
    """

    reader: InsightsReader
    executor: Executor
    limits: ReportLimits
    store: ReportStore | None
    pace: ReportPace
    counter: CallCounter
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    today: date | None = None
    _queue: deque[tuple[InsightsQuery, bool, bool]] = field(default_factory=deque)
    _running: list[RunningReport] = field(default_factory=list)
    # The query of a report's task; None for a synchronous read, which splits by itself.
    _tasks: dict[Future[Outcome], InsightsQuery | None] = field(default_factory=dict)
    _remade: set[InsightsQuery] = field(default_factory=set)
    _stored_under: dict[InsightsQuery, str] = field(default_factory=dict)
    _refused: int = 0
    _ended: MetaApiError | None = None

    def __post_init__(self) -> None:
        """Start without groups of fields and failures."""
        self._groups = FieldGroups(self.reader.fields)
        self._failed = self.reader.failed_days(self.counter)

    def parts(
        self, account_id: str, level: Level, grain: Grain, windows: Sequence[Window]
    ) -> Iterator[InsightsPart]:
        """Yield finished parts; together they cover every window exactly once."""
        for window in windows:
            query = self.reader.with_windows(
                InsightsQuery(account_id, level, grain, window.since, window.until)
            )
            self._queue.append((query, window.mode == "async", False))
        if len(windows) == 1 and windows[0].mode == "sync":
            query, _, _ = self._queue.popleft()
            parts = self.reader.parts(query, self.counter)
            while True:
                with self._about(query):
                    part = next(parts, None)
                if part is None:
                    return
                yield part
        deadline = self.clock() + self.limits.total_time
        try:
            while self._queue or self._running or self._tasks:
                if self.clock() > deadline:
                    late = MetaApiError(
                        REPORTS_LATE,
                        f"waited {self.limits.total_time:.0f} s",
                        what="insights reports",
                        account_id=account_id,
                    )
                    raise self._failed.ending(late)
                self._start()
                self._poll()
                for part in self._collect():
                    # Of a failed day nothing is of use, and its groups are no longer known.
                    if not self._failed.covers(part.query):
                        self._failed.came()
                        yield from self._groups.add(part)
                yield from self._groups.finished()
        finally:
            for task in self._tasks:
                task.cancel()
        if self._ended is not None:
            raise self._failed.ending(self._ended)
        self._failed.raise_first()

    def _fail(self, query: InsightsQuery, error: MetaApiError) -> None:
        """Put the query's days aside; those not yet started go where they would fail alike.

        What the token or the budget is refused for is raised at once: it is so for every call.
        """
        if not error.may_be_of_some_days:
            self._end(error)
            return
        self._groups.abandon(query)
        self._go_on_without(replace(error, dates=query.dates))

    def _go_on_without(self, *errors: MetaApiError) -> None:
        for error in errors:
            self._failed.take(error)
        waiting = [query for query, *_ in self._queue]
        if not waiting:
            return
        try:
            with self._about(waiting[-1]):
                left = self._failed.left(waiting)
        except MetaApiError as final:
            self._end(final)
        else:
            self._queue = deque(each for each in self._queue if each[0] in left)

    def _end(self, error: MetaApiError) -> None:
        """Start nothing more; what is under way comes to its end."""
        if error.kind in {ErrorKind.AUTH, ErrorKind.RATE_LIMIT}:
            raise self._failed.ending(error)
        self._queue.clear()
        self._ended = self._ended or error

    def _make_anew(self, query: InsightsQuery, error: MetaApiError) -> None:
        """Once more as another report, then by halves: we made it, so Meta lost it.

        The rows of other reports are kept.
        """
        self._forget(query)
        if query not in self._remade:
            self._remade.add(query)
            self._queue.appendleft((query, True, True))
        elif query.days > 1:
            pieces = query.date_halves()
            self._queue.extendleft((piece, True, False) for piece in reversed(pieces))
        else:
            self._fail(query, replace(error, rule=REPORT_FAILED))

    def _start(self) -> None:
        while self._queue and len(self._tasks) + len(self._running) < self.limits.in_flight:
            query, as_report, replaces = self._queue.popleft()
            if as_report and not replaces:
                try:
                    with self._about(query):
                        query, *rest = self.reader.fitting(query, self._groups, self.counter)
                except MetaApiError as error:
                    self._fail(query, error)
                    continue
                self._queue.extendleft((piece, True, False) for piece in reversed(rest))
            if as_report:
                self._tasks[self._submit(query, partial(self._create, query, replaces))] = query
            else:
                self._tasks[self._submit(query, partial(self._read_sync, query))] = None

    def _submit(self, query: InsightsQuery, work: Callable[[], Outcome]) -> Future[Outcome]:
        with self._about(query):
            return self.executor.submit(carried(work))

    def _about(self, query: InsightsQuery) -> AbstractContextManager[None]:
        """Calls for this query have the priority of its newest day."""
        return calls_about(query.until, self.today)

    def _read_sync(self, query: InsightsQuery) -> Outcome:
        parts: list[InsightsPart] = []
        try:
            for part in self.reader.parts(query, self.counter):
                parts.append(part)
        except MetaApiError as error:
            return parts, error
        return parts, None

    def _create(self, query: InsightsQuery, replaces: bool) -> Outcome:
        """Start a report, or adopt the one that an earlier process started."""
        query = self.reader.without_refused(query)
        stored = None
        if self.store is not None and not replaces:
            stored = self.store.find(self._key(query))
            if stored is not None:
                age = datetime.now(UTC) - stored.created_at
                stored = None if age > timedelta(seconds=self.limits.adopt_within) else stored
        if stored is None:
            run_id, query = self._post(query)
            stored = StoredReport(run_id, datetime.now(UTC))
            if self.store is not None:
                self.store.save(self._key(query), stored)
        self._stored_under[query] = self._key(query)
        now = self.clock()
        return RunningReport(
            query, stored, now, now, now + self.pace.expected(self.limits), now, replaces
        )

    def _key(self, query: InsightsQuery) -> str:
        """What a report is stored under: everything that its rows depend on."""
        return report_key(query, self.reader.params(query), self.reader.api_version)

    def _forget(self, query: InsightsQuery) -> None:
        key = self._stored_under.pop(query, None)
        if key is not None and self.store is not None:
            self.store.remove(key)

    def _post(self, query: InsightsQuery) -> tuple[str, InsightsQuery]:
        """The run's id, and the query that Meta accepted."""
        while True:
            query = self.reader.without_refused(query)
            call = Call(
                "POST",
                f"act_{query.account_id}/insights",
                self.reader.params(query),
                "insights_report",
                query.account_id,
                UseCase.INSIGHTS,
            )
            try:
                document = self.reader.caller.call(call, self.counter).document
            except MetaApiError as error:
                if self.reader.refused(query, error, call.params, self.counter):
                    continue
                raise
            run_id = document.get("report_run_id") if isinstance(document, dict) else None
            if not run_id:
                raise MetaApiError(
                    BAD_RESPONSE,
                    "no report_run_id",
                    what=f"POST {call.path}",
                    account_id=query.account_id,
                )
            return str(run_id), query

    def _read_report(self, report: RunningReport) -> Outcome:
        rows = self.reader.read_report(report.query, report.stored.run_id, self.counter)
        self._forget(report.query)
        return [self.reader.part(report.query, rows, report.stored.created_at, "async")], None

    def _collect(self) -> Iterator[InsightsPart]:
        """Take what the executor has finished; wait no longer than until the next poll."""
        next_poll = min((report.next_poll for report in self._running), default=None)
        pause = None if next_poll is None else max(0.0, next_poll - self.clock())
        if not self._tasks:
            if pause:
                self.sleep(pause)
            return
        with waiting_for_threads():
            done, _ = wait(self._tasks, timeout=pause, return_when=FIRST_COMPLETED)
        for task in done:
            query = self._tasks.pop(task)
            try:
                outcome = task.result()
            except MetaApiError as error:
                if query is None:
                    self._end(error)
                elif error.action is Action.MARK_UNREACHABLE and query in self._stored_under:
                    self._make_anew(query, error)
                else:
                    self._ask_smaller(query, error)
                continue
            if isinstance(outcome, RunningReport):
                self._running.append(outcome)
                continue
            parts, failed = outcome
            self._refused = 0
            yield from parts
            if failed is not None:
                self._take(failed)

    def _take(self, failure: MetaApiError) -> None:
        """Record what failed of a window that was read synchronously."""
        errors = [error for error in (failure, *failure.also) if error.dates]
        if errors:
            self._go_on_without(*errors)
        if not failure.dates:
            self._end(failure)

    def _ask_smaller(self, query: InsightsQuery, error: MetaApiError) -> None:
        """Queue the pieces of a query that was too much; fails where none are left."""
        self._forget(query)
        if self._failed.covers(query):
            return
        try:
            with self._about(query):
                pieces = self.reader.smaller(query, error, self._groups, self.counter)
        except MetaApiError as final:
            self._fail(query, final)
            return
        self._queue.extendleft((piece, True, False) for piece in reversed(pieces))

    def _poll(self) -> None:
        """Look at the report that has been waiting longest; when it is done, at the others too.

        Meta counts every look, in a batch as well, and reports started together end together: so
        one of them stands for the rest, which are looked at by themselves now and then only.
        """
        now = self.clock()
        due = [report for report in self._running if report.next_poll <= now + POLL_TOGETHER]
        if min((report.next_poll for report in due), default=now + 1) > now:
            return
        leader = min(due, key=lambda report: report.started)
        overdue = [report for report in due if now - report.looked >= self.limits.longest_poll]
        self._look([leader, *(report for report in overdue if report is not leader)])
        if leader in self._running:
            for report in due:
                report.next_poll = max(report.next_poll, leader.next_poll)
            return
        took = now - leader.started
        ready = [
            report
            for report in self._running
            if report.started + took <= self.clock() + POLL_TOGETHER
        ]
        if ready:
            self._look(ready)

    def _look(self, reports: list[RunningReport]) -> None:
        """Ask for the status of these reports in one request, and act on each."""
        newest = max((report.query for report in reports), key=lambda query: query.until)
        with self._about(newest):
            statuses, errors = self._statuses([report.stored.run_id for report in reports], newest)
        now = self.clock()
        for report in reports:
            # The longer it has taken, the less often: never more than half as long again.
            pause = max(self.limits.first_poll / 2, (now - report.started) / 2)
            report.looked, report.next_poll = now, now + min(pause, self.limits.longest_poll)
            error = errors.get(report.stored.run_id)
            if error is None:
                self._judge(report, statuses[report.stored.run_id])
            elif error.action is Action.MARK_UNREACHABLE:
                self._replace(report, error)
            elif error.action in {Action.RETRY, Action.WAIT}:
                self._judge(report, {})
            else:
                self._running.remove(report)
                self._fail(report.query, error)

    def _statuses(
        self, run_ids: list[str], query: InsightsQuery
    ) -> tuple[dict[str, dict[str, Any]], dict[str, MetaApiError]]:
        dropped = self.reader.dropped
        fields = dropped.keep("report_run", STATUS_FIELDS)
        found, errors = read_nodes(
            self.reader.caller,
            run_ids,
            fields,
            edge="report_run",
            account_id=query.account_id,
            use_case=UseCase.INSIGHTS,
            counter=self.counter,
        )
        again = [
            each for each, error in errors.items() if dropped.drop("report_run", fields, error)
        ]
        if not again:
            return found, errors
        more, still = self._statuses(again, query)
        kept = {each: error for each, error in errors.items() if each not in again}
        return {**found, **more}, {**kept, **still}

    def _judge(self, report: RunningReport, status: dict[str, Any]) -> None:
        """Read it, replace it, or go on waiting."""
        words = str(status.get("async_status", ""))
        percent = _percent(status.get("async_percent_completion"))
        now = self.clock()
        if words == DONE and percent >= 100:
            self._running.remove(report)
            self.pace.observe(now - report.started)
            self._tasks[self._submit(report.query, partial(self._read_report, report))] = (
                report.query
            )
            return
        if words in ENDED_BADLY:
            self._replace(report, _report_error(report, status, words))
            return
        if (words, percent) != report.state:
            report.state, report.changed = (words, percent), now
        stuck = now - report.changed > self.limits.stuck_after
        if stuck or now - report.started > self.limits.report_time:
            self._replace(
                report,
                MetaApiError(
                    REPORT_FAILED,
                    f"{words} at {percent} % for {now - report.changed:.0f} s",
                    what=f"report {report.stored.run_id}",
                    account_id=report.query.account_id,
                ),
            )

    def _replace(self, report: RunningReport, error: MetaApiError) -> None:
        """Once by the same query, then by its halves; fails where it is a single day.

        One that is refused is asked by its halves, too, unless others have been refused before.
        """
        self._running.remove(report)
        self._forget(report.query)
        sent = self.reader.params(report.query)
        if error.suggests_smaller:
            self._ask_smaller(report.query, error)
        elif not report.replaces and self.reader.refused(report.query, error, sent, self.counter):
            self._queue.appendleft((report.query, True, True))
        elif error.action is Action.MARK_UNREACHABLE:
            self._make_anew(report.query, error)
        elif error.kind is not ErrorKind.TRANSIENT:
            self._refused += 1
            if error.kind is ErrorKind.INVALID and self._refused < MOST_REFUSED:
                self._ask_smaller(report.query, error)
            else:
                self._fail(report.query, error)
        elif not report.replaces:
            self._queue.appendleft((report.query, True, True))
        elif report.query.days > 1:
            pieces = report.query.date_halves()
            self._queue.extendleft((piece, True, False) for piece in reversed(pieces))
        else:
            self._fail(report.query, error)


def _percent(value: object) -> int:
    """Completion as a number; anything that is none says nothing."""
    try:
        return int(float(str(value)))
    except (ValueError, OverflowError):
        return 0


def _report_error(report: RunningReport, status: dict[str, Any], words: str) -> MetaApiError:
    """What a failed report says about itself (since v25), or that it says nothing."""
    what = f"report {report.stored.run_id}"
    if status.get("error_code"):
        return error_from_envelope(
            {
                "code": status["error_code"],
                "error_subcode": status.get("error_subcode"),
                "message": status.get("error_message") or words,
            },
            what=what,
            account_id=report.query.account_id,
        )
    return MetaApiError(REPORT_FAILED, words, what=what, account_id=report.query.account_id)
