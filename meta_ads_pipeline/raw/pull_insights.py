"""Pull insights of one account: what is not done yet, newest first, landed part by part."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.slices import SliceKey, SliceLock
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES, InsightsTable
from meta_ads_pipeline.meta_api.calls import CallCounter
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.error_rules import ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.insights_query import InsightsPart
from meta_ads_pipeline.raw.context import PullContext, SliceReport, account_ref
from meta_ads_pipeline.raw.empty_days import confirm_empty, emptied_days
from meta_ads_pipeline.raw.expected_rows import expected_rows_per_day
from meta_ads_pipeline.raw.failures import mark_failed
from meta_ads_pipeline.raw.load import PulledRows, load_insights
from meta_ads_pipeline.raw.missing_values import missing_values
from meta_ads_pipeline.raw.refresh import HOURS, confirm_unchanged
from meta_ads_pipeline.windows import DateWindow

_PARTS_WAITING = 2
"""Parts read ahead of the loader: enough to keep it busy, few enough for memory."""

_OTHER_WINDOWS_MAY_SUCCEED = frozenset({ErrorKind.TRANSIENT, ErrorKind.TOO_MUCH_DATA})

_WINDOWS_IN_VAIN = 2
"""Windows one after the other without a landed day, until the oldest one decides on the rest."""


def pull_insights(
    database: Database,
    client: MetaAdsClient,
    account: Account,
    asset: str,
    dates: Sequence[date],
    ctx: PullContext,
) -> list[SliceReport]:
    """Fetch and replace the slices of ``asset`` for account-local ``dates``; one report for each.

    Slices done under the sync are skipped, and other runs are kept off the rest meanwhile. Every
    part is landed as it comes, so that a killed run loses only what was under way. Days that fail
    do not cost the others. Raises the first error (``MetaApiError``, ``psycopg.Error``, ...), or
    the one that ended the pull, after writing on each slice left undone why it is; what was landed
    stays.

    With ``ctx.days_first`` hours that agree with their day need no call, where the caller has had
    the days pulled before (see ``raw.refresh``). A past day that had rows and now has none is not
    emptied at once (see ``raw.empty_days``).
    """
    if not dates:
        return []
    ctx.upstream_over()
    key = SliceKey(account.account_id, asset)
    with slices.exclusive(database, key, dates) as lock:
        done = database.run(
            lambda connection: slices.claim_undone(connection, key, dates, ctx.attempt)
        )
        todo = sorted(set(dates) - done.keys())
        rows_per_day = database.run(lambda connection: expected_rows_per_day(connection, key))
        pull = _Pull(
            database, client, account, INSIGHTS_TABLES[asset], ctx, lock, rows_per_day, set(todo)
        )
        pull.reports = ctx.tell(
            SliceReport(account.account_id, day, asset, skipped=True, row_count=done[day])
            for day in sorted(done.keys() & set(dates))
        )
        try:
            if ctx.days_first and asset == HOURS and todo:
                pull.confirm(confirm_unchanged(database, account, todo, ctx))
            pull.run(sorted(pull.undone))
        except Exception as error:
            for reason, days in pull.reasons(error).items():
                mark_failed(database, key, days, ctx.attempt, reason)
            raise
    return sorted(pull.reports, key=lambda report: report.partition_date)


@dataclass
class _Pull:
    database: Database
    client: MetaAdsClient
    account: Account
    table: InsightsTable
    ctx: PullContext
    lock: SliceLock
    rows_per_day: float | None
    undone: set[date]
    reports: list[SliceReport] = field(default_factory=list)
    counted_calls: int = 0
    emptied: dict[date, PulledRows] = field(default_factory=dict)
    failed: dict[date, Exception] = field(default_factory=dict)

    def run(self, todo: Sequence[date]) -> None:
        failure: Exception | None = None
        counter = CallCounter()
        in_vain = 0
        windows = deque(consecutive_windows(todo))
        while windows:
            window = windows.popleft()
            before = len(self.undone)
            try:
                with self.ctx.prioritized():
                    self._read(window, counter)
            except MetaApiError as error:
                failure = failure or error
                self.failed |= _by_day(error)
                landed = len(self.undone) < before
                in_vain = 0 if landed else in_vain + 1
                if not error.dates and (error.kind not in _OTHER_WINDOWS_MAY_SUCCEED or not landed):
                    raise
                if in_vain == _WINDOWS_IN_VAIN:
                    windows.rotate(1)
                elif in_vain > _WINDOWS_IN_VAIN:
                    raise replace(error, dates=()) from error
            else:
                in_vain = 0
        of_emptied = self._judge_emptied()
        failure = failure or of_emptied
        if failure is not None:
            raise failure

    def _judge_emptied(self) -> Exception | None:
        """Empty the days that are so for sure; the first reason why others stay as they are."""
        failure: Exception | None = None
        for window in consecutive_windows(list(self.emptied)):
            try:
                kept = confirm_empty(
                    self.database, self.client, self.account, self.table, window, self.ctx
                )
            except MetaApiError as error:
                failure = failure or error
                self.failed |= dict.fromkeys(window.dates, error)
                if error.kind not in _OTHER_WINDOWS_MAY_SUCCEED:
                    break
                continue
            self.failed |= kept
            for day in window.dates:
                if day in kept:
                    failure = failure or kept[day]
                else:
                    self._load(self.emptied[day])
        return failure

    def reasons(self, error: Exception) -> dict[Exception, list[date]]:
        """Why slices are undone: what failed on their day, else what ended the pull."""
        found = defaultdict(list)
        for day in sorted(self.undone):
            found[self.failed.get(day, error)].append(day)
        return dict(found)

    def confirm(self, reports: Sequence[SliceReport]) -> None:
        """Take over slices that are done without being read."""
        dates = [report.partition_date for report in reports]
        self.undone.difference_update(dates)
        self.lock.release(dates)
        self.reports += reports

    def _read(self, window: DateWindow, counter: CallCounter) -> None:
        """Land parts in a thread of their own: the next ones are read meanwhile.

        What has come is landed even when the reading fails after it.
        """
        waiting: deque[Future[None]] = deque()
        failure: MetaApiError | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="land") as loader:
            try:
                for answer in self._whole_days(window, counter):
                    calls, self.counted_calls = (
                        counter.calls - self.counted_calls,
                        counter.calls,
                    )
                    pulled = replace(answer, api_calls=calls)
                    waiting.append(loader.submit(self._land, pulled))
                    while len(waiting) > _PARTS_WAITING:
                        waiting.popleft().result()
            except MetaApiError as error:
                failure = error
        for landing in waiting:
            landing.result()
        if failure is not None:
            raise failure

    def _whole_days(self, window: DateWindow, counter: CallCounter) -> Iterator[PulledRows]:
        """Account-local days with all their rows, as they come; their calls are not counted yet."""
        pieces: dict[date, list[InsightsPart]] = {}
        parts = self.client.iter_insights(
            account_ref(self.account),
            window.start,
            window.end,
            level=self.table.level,
            grain=self.table.grain,
            rows_per_day=self.rows_per_day,
            counter=counter,
        )
        failure: MetaApiError | None = None
        try:
            for part in parts:
                if part.query.only_ids:
                    # Some objects of one day: the day is complete when every part has come.
                    pieces.setdefault(part.query.since, []).append(part)
                else:
                    yield self._pulled(part.query.dates, [part])
        except MetaApiError as error:
            if not error.dates:
                raise
            failure = error
        for day, parts_of_day in pieces.items():
            if failure is None or day not in _by_day(failure):
                yield self._pulled([day], parts_of_day)
        if failure is not None:
            raise failure

    def _pulled(self, days: Sequence[date], parts: Sequence[InsightsPart]) -> PulledRows:
        asked = [part.query.attribution_windows for part in parts]
        return PulledRows(
            [row for part in parts for row in part.rows],
            days,
            self.client.api_version,
            min(part.pulled_at for part in parts),
            # Refused between the pieces of a day, a window is not known for all of its rows.
            attribution_windows=[name for name in asked[0] if all(name in each for each in asked)],
            left_out=list(
                {each.object_id: each for part in parts for each in part.left_out}.values()
            ),
            missing=missing_values(self.table, parts),
        )

    def _land(self, pulled: PulledRows) -> None:
        self.lock.check()
        empty = emptied_days(self.database, self.account, self.table, pulled, self.ctx.now())
        for day in empty:
            self.emptied[day] = replace(pulled, rows=[], dates=[day], api_calls=0)
        dates = [day for day in pulled.dates if day not in empty]
        if dates:
            self._load(replace(pulled, dates=dates))

    def _load(self, pulled: PulledRows) -> None:
        loaded = load_insights(self.database, self.account, self.table, pulled, self.ctx.attempt)
        self.undone.difference_update(pulled.dates)
        self.lock.release(pulled.dates)
        account_id, asset = self.account.account_id, self.table.asset
        self.reports += self.ctx.tell(
            SliceReport.of(account_id, day, asset, loaded.counts[day], loaded.api_calls[day])
            for day in pulled.dates
        )


def _by_day(failure: MetaApiError) -> dict[date, MetaApiError]:
    """What failed on which day; nothing of an error that is about all of them."""
    return {day: error for error in (failure, *failure.also) for day in error.dates}


def consecutive_windows(dates: Sequence[date]) -> Iterator[DateWindow]:
    """The dates as windows without gaps, newest first."""
    newest_first = iter(sorted(set(dates), reverse=True))
    with suppress(StopIteration):
        end = start = next(newest_first)
        for day in newest_first:
            if day != start - timedelta(days=1):
                yield DateWindow(start, end)
                end = day
            start = day
        yield DateWindow(start, end)
