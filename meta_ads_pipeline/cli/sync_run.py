"""``meta-ads sync``: one run of the main job over a range of dates, with progress and a report."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from meta_ads_pipeline.cli.runtime import Runtime
from meta_ads_pipeline.control.accounts import UnknownAccountError, active_accounts
from meta_ads_pipeline.control.database import DatabaseError
from meta_ads_pipeline.control.syncs import Sync, finish_sync, open_sync
from meta_ads_pipeline.raw.cost_estimate import expected_calls
from meta_ads_pipeline.windows import DateWindow

logger = logging.getLogger(__name__)

_MOST_RUNS = 3
"""So often the job is started by one command whose database is restarted under it."""

_SLICED_ASSETS = ("insights_hourly", "insights_daily", "account_totals")


@dataclass
class SyncOutcome:
    """What a sync did. Row counts are over ``raw``; ``seconds`` is wall time."""

    sync_id: str
    start: str
    end: str
    resumed: bool
    success: bool
    seconds: float
    slices_done: int = 0
    slices_failed: int = 0
    rows_inserted: int = 0
    rows_updated: int = 0
    rows_deleted: int = 0
    rows_unchanged: int = 0
    rows_dead_lettered: int = 0
    api_calls: int = 0
    expected_api_calls: int | None = None
    mart_rows_changed: int = 0
    failed_steps: list[str] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def rows_changed(self) -> int:
        """Raw rows that this sync inserted, updated or deleted."""
        return self.rows_inserted + self.rows_updated + self.rows_deleted

    def as_json(self) -> dict[str, Any]:
        """The outcome as plain values."""
        return {**asdict(self), "rows_changed": self.rows_changed}


def run_sync(
    runtime: Runtime, window: DateWindow, accounts: Sequence[str], console: Console | None
) -> SyncOutcome:
    """Run the ``sync`` job in this process over ``window``; the run shows in the Dagster UI.

    The same request made again while an earlier one is unfinished resumes it: slices that were
    done are not fetched again. ``console`` shows progress; None is silent.
    """
    started = time.monotonic()
    sync = open_sync(runtime.database, window.start, window.end, accounts)
    mart_rows_before = _mart_rows(runtime)
    expected = _expected_calls(runtime, sync, window, accounts)
    progress = _SliceProgress(runtime, sync, window, console)
    with progress:
        succeeded, failed_steps, failed_checks, errors = _execute_through_restarts(
            runtime, sync, window, accounts
        )
    outcome = SyncOutcome(
        sync_id=sync.sync_id,
        start=window.start.isoformat(),
        end=window.end.isoformat(),
        resumed=sync.resumed,
        success=succeeded,
        seconds=round(time.monotonic() - started, 1),
        expected_api_calls=expected,
        failed_steps=failed_steps,
        failed_checks=failed_checks,
        errors=errors,
    )
    _add_counts(runtime, outcome)
    # A restarted server may count from zero again.
    outcome.mart_rows_changed = max(0, _mart_rows(runtime) - mart_rows_before)
    outcome.success = succeeded and outcome.slices_failed == 0 and not failed_checks
    # A failed check is news, not unfinished work: only missing slices or marts are resumed.
    finish_sync(runtime.database, sync.sync_id, succeeded=succeeded and outcome.slices_failed == 0)
    return outcome


def build_marts(runtime: Runtime, window: DateWindow, accounts: Sequence[str]) -> list[str]:
    """Build and check the marts of a window from what ``raw`` holds, without a call to Meta.

    Returns the failed steps and checks.
    """
    succeeded, failed_steps, failed_checks, errors = _execute(
        None, window, accounts, runtime.settings.home / "sync.log", groups_left_out=("raw",)
    )
    return [] if succeeded and not failed_checks else failed_steps + failed_checks + errors


def _is_of_the_storage(error: BaseException) -> bool:
    """Whether Dagster lost the database under its own records."""
    from dagster_postgres.utils import DagsterPostgresException
    from sqlalchemy.exc import DBAPIError

    return isinstance(error, DBAPIError | DagsterPostgresException)


def _execute_through_restarts(
    runtime: Runtime, sync: Sync, window: DateWindow, accounts: Sequence[str]
) -> tuple[bool, list[str], list[str], list[str]]:
    """The job; when the database was restarted under it, the rest of it in another run."""
    runs_left = _MOST_RUNS
    while True:
        runs_left -= 1
        run_id, started_at = str(uuid.uuid4()), runtime.database.started_at()
        outcome, lost = None, None
        try:
            outcome = _execute(
                sync, window, accounts, runtime.settings.home / "sync.log", run_id=run_id
            )
            if outcome[0]:
                return outcome
        except Exception as error:
            if not _is_of_the_storage(error):
                raise
            lost = error
        if runs_left and runtime.database.started_at() != started_at:
            logger.warning("the database was restarted: the sync goes on where it stopped")
            _close_run(run_id)
        elif outcome is not None:
            return outcome
        else:
            raise DatabaseError(
                "the database went away while the sync was at work. What has landed is kept: "
                "the same command goes on from there"
            ) from lost


def _close_run(run_id: str) -> None:
    """Have Dagster not wait for a run whose end it could not be told."""
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            instance.report_run_canceled(run, message="the database was restarted under the run")


@contextmanager
def _stdout_into(path: Path) -> Iterator[None]:
    """What dbt says while it works goes to a file, not through the progress bar."""
    with path.open("a") as file, redirect_stdout(file):
        yield


def _execute(
    sync: Sync | None,
    window: DateWindow,
    accounts: Sequence[str],
    log_file: Path,
    *,
    run_id: str | None = None,
    groups_left_out: Sequence[str] = (),
) -> tuple[bool, list[str], list[str], list[str]]:
    import dagster as dg

    from meta_ads_pipeline.definitions import build_defs
    from meta_ads_pipeline.quality.outcome import only_open_elsewhere
    from meta_ads_pipeline.raw.assets import ACCOUNTS_TAG, SYNC_TAG

    tags = {
        "dagster/asset_partition_range_start": window.start.isoformat(),
        "dagster/asset_partition_range_end": window.end.isoformat(),
    }
    if sync is not None:
        tags[SYNC_TAG] = sync.sync_id
    if accounts:
        tags[ACCOUNTS_TAG] = ",".join(accounts)
    with dg.DagsterInstance.get() as instance, _stdout_into(log_file):
        # One pooled connection instead of a new one for each of hundreds of events.
        instance.optimize_for_webserver(
            statement_timeout=60_000, pool_recycle=3600, max_overflow=20
        )
        job = build_defs().resolve_job_def("sync")
        chosen = [
            key
            for key in job.asset_layer.executable_asset_keys
            if job.asset_layer.get(key).group_name not in groups_left_out
        ]
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            tags=tags,
            asset_selection=chosen if groups_left_out else None,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        failed_steps, errors = [], []
        for event in result.get_step_failure_events():
            failed_steps.append(event.step_key or "?")
            failure = event.step_failure_data
            if failure.user_failure_data and failure.user_failure_data.description:
                errors.append(failure.user_failure_data.description)
            elif failure.error:
                cause = failure.error.cause or failure.error
                errors.append(cause.message.split("\n[SQL:")[0].strip())  # not a page of SQL
        failed_checks = [
            f"{e.asset_key.to_user_string()}: {e.check_name}"
            for e in result.get_asset_check_evaluations()
            if not e.passed
            and e.severity == dg.AssetCheckSeverity.ERROR
            and not only_open_elsewhere(e.metadata)
        ]
    return result.success, failed_steps, failed_checks, errors


def _expected_calls(
    runtime: Runtime, sync: Sync, window: DateWindow, accounts: Sequence[str]
) -> int | None:
    """What the pulls should cost; None where an account is not known yet."""
    try:
        known = active_accounts(
            runtime.database, only=list(accounts) or runtime.settings.ad_account_ids
        )
    except UnknownAccountError:
        return None
    if not known:
        return None
    return expected_calls(
        runtime.database,
        known,
        window,
        sync.sync_id,
        with_reach=runtime.settings.reach,
    )


def _add_counts(runtime: Runtime, outcome: SyncOutcome) -> None:
    with runtime.database.connect() as connection:
        row = connection.execute(
            "select coalesce(sum(rows_inserted), 0) as inserted,"
            " coalesce(sum(rows_updated), 0) as updated,"
            " coalesce(sum(rows_deleted), 0) as deleted,"
            " coalesce(sum(rows_unchanged), 0) as unchanged,"
            " coalesce(sum(rows_dead_lettered), 0) as dead"
            " from control.slice_loads where sync_id = %s",
            [outcome.sync_id],
        ).fetchone()
        states = connection.execute(
            "select count(*) filter (where status = 'done') as done,"
            " coalesce(sum(api_calls), 0)::int as calls,"
            " count(*) filter (where status in ('failed', 'parked')) as failed,"
            " array_agg(distinct error_message) filter (where status in ('failed', 'parked'))"
            "   as errors"
            " from control.slices where sync_id = %s",
            [outcome.sync_id],
        ).fetchone()
    assert row is not None
    assert states is not None
    outcome.rows_inserted, outcome.rows_updated = int(row["inserted"]), int(row["updated"])
    outcome.rows_deleted, outcome.rows_unchanged = int(row["deleted"]), int(row["unchanged"])
    outcome.rows_dead_lettered = int(row["dead"])
    outcome.api_calls = states["calls"]
    outcome.slices_done, outcome.slices_failed = int(states["done"]), int(states["failed"])
    outcome.errors.extend(e for e in states["errors"] or [] if e and e not in outcome.errors)


def _mart_rows(runtime: Runtime) -> int:
    """Rows that Postgres counts as inserted, updated or deleted in the schema marts so far."""
    with runtime.database.connect() as connection:
        connection.execute("select pg_stat_clear_snapshot()")
        row = connection.execute(
            "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) as n"
            " from pg_stat_user_tables where schemaname = 'marts'"
            " or (schemaname = 'partitions' and relname like 'marts%')"
        ).fetchone()
    assert row is not None
    return int(row["n"])


class _SliceProgress:
    """A progress bar fed from the slice audit, so that it shows what has truly landed."""

    def __init__(
        self, runtime: Runtime, sync: Sync, window: DateWindow, console: Console | None
    ) -> None:
        self._database = runtime.database
        self._sync_id = sync.sync_id
        self._days = len(window.dates)
        self._console = console
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        if self._console is not None:
            self._thread = threading.Thread(target=self._show, daemon=True)
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _show(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task("starting", total=None)
            while not self._stop.wait(0.3):
                try:
                    done, accounts = self._count()
                except (DatabaseError, psycopg.Error):
                    continue  # the work itself tells of a database that is away
                total = accounts * self._days * len(_SLICED_ASSETS)
                if not total:
                    continue
                label = "slices landed" if done < total else "dbt build and checks"
                progress.update(task, description=label, completed=done, total=total)
            with suppress(DatabaseError, psycopg.Error):
                done, accounts = self._count()
                total = accounts * self._days * len(_SLICED_ASSETS)
                progress.update(task, description="finished", completed=done, total=total or 1)

    def _count(self) -> tuple[int, int]:
        with self._database.connect() as connection:
            row = connection.execute(
                "select count(*) filter"
                " (where status = 'done' and asset = any(%(assets)s)) as done,"
                " (select count(*) from control.ad_accounts where is_active) as accounts"
                " from control.slices where sync_id = %(sync)s",
                {"sync": self._sync_id, "assets": list(_SLICED_ASSETS)},
            ).fetchone()
        assert row is not None
        return int(row["done"]), int(row["accounts"])
