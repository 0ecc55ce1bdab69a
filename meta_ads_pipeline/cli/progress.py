"""One bar from 0 to 100 % with the time left; off a terminal, a line now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

import psycopg
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from meta_ads_pipeline.cli.job_run import Steps
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from meta_ads_pipeline.rate_limit.waits import current_waits
from meta_ads_pipeline.windows import DateWindow, begun

_PULLING, _BUILDING = 0.6, 0.25
"""How much of the bar is slices landing and the build of the marts; the rest is all steps."""

_ESTIMATE_FROM = 0.1
"""How much must be done before the time left is worth telling."""

_POLL_SECONDS, _LINE_SECONDS = 0.5, 15.0
_PULLS = ("raw__ad_accounts", "pulls")
"""The steps that ask Meta."""


class SyncProgress:
    """Shows how far a sync is, from what has truly landed. Use with ``with``; None is silent.

    ``accounts`` gives the ad accounts of the run; before the first pull there are none.
    """

    def __init__(
        self,
        database: Database,
        rules: BudgetRules,
        sync_id: str,
        window: DateWindow,
        accounts: Callable[[], list[Account]],
        console: Console | None,
    ) -> None:
        self.steps = Steps()
        self._database = database
        self._rules = rules
        self._sync_id = sync_id
        self._window = window
        self._accounts = accounts
        self._console = console
        self._furthest = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._console is not None:
            show = self._show_bar if self._console.is_terminal else self._print_lines
            self._thread = threading.Thread(target=show, args=(self._console,), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._succeeded = kind is None
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _show_bar(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=False),
        )
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("starting", total=1.0)
            while not self._stop.wait(_POLL_SECONDS):
                fraction, doing = self._state()
                progress.update(task, description=doing, completed=fraction)
            if self._succeeded:
                progress.update(task, description="finished", completed=1.0)

    def _print_lines(self, console: Console) -> None:
        started, last, before = time.monotonic(), 0.0, ""
        while not self._stop.wait(_POLL_SECONDS):
            fraction, doing = self._state()
            now = time.monotonic()
            # What it is at changes often while slices land: a line at most every few seconds.
            if (doing == before and now - last < 4 * _LINE_SECONDS) or now - last < _LINE_SECONDS:
                continue
            elapsed = now - started
            left = ""
            if fraction >= _ESTIMATE_FROM:
                left = f", about {_span(elapsed * (1 - fraction) / fraction)} left"
            console.print(f"{datetime.now(UTC):%H:%M:%S} {fraction:4.0%} {doing}{left}")
            last, before = now, doing

    def _state(self) -> tuple[float, str]:
        """How far it is, never less than before, and what it is at or waits for."""
        try:
            done, total = self._slices()
            waits = current_waits(self._database, self._rules)
        except (DatabaseError, psycopg.Error):
            return self._furthest, "lost database connection; retrying"
        steps = self.steps.finished / self.steps.total if self.steps.total else 0.0
        built = self.steps.marts_built / self.steps.marts if self.steps.marts else 0.0
        fraction = _PULLING * (done / total if total else 0.0) + _BUILDING * min(1.0, built)
        fraction += (1 - _PULLING - _BUILDING) * steps
        self._furthest = max(self._furthest, min(0.99, fraction))
        step = self.steps.current
        if waits and (step in _PULLS or not step):
            return self._furthest, f"waiting: {waits[0]}"
        if step in _PULLS and total:
            return self._furthest, f"pulling: {done} of {total} days of insights"
        return self._furthest, step.split("__")[-1].replace("_", " ") or "starting"

    def _slices(self) -> tuple[int, int]:
        """How many insights slices are done, of how many; none before an account is known."""
        now = datetime.now(UTC)
        total = len(INSIGHTS_TABLES) * sum(
            len(begun(self._window.dates, account.timezone, now)) for account in self._accounts()
        )
        if not total:
            return 0, 0
        with self._database.connect() as connection:
            row = connection.execute(
                "select count(*) as done from control.slices"
                " where sync_id = %s and status = 'done' and asset = any(%s)",
                [self._sync_id, list(INSIGHTS_TABLES)],
            ).fetchone()
        return min(total, row["done"] if row else 0), total


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "a minute"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
