"""One sync: the job over a range of dates, resumed where it stopped, and what it did."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console

from meta_ads_pipeline.cli.interrupts import INTERRUPTED, ended_soon_by_signals
from meta_ads_pipeline.cli.job_run import JobResult, Steps, close_run, run_job
from meta_ads_pipeline.cli.progress import SyncProgress
from meta_ads_pipeline.cli.runtime import Runtime
from meta_ads_pipeline.control.account_states import known_accounts
from meta_ads_pipeline.control.accounts import Account, UnknownAccountError, accounts_of_run
from meta_ads_pipeline.control.database import DatabaseError
from meta_ads_pipeline.control.syncs import Sync, finish_sync, open_sync
from meta_ads_pipeline.credentials.brief_budget import budget_rules
from meta_ads_pipeline.raw.cost_estimate import expected_calls
from meta_ads_pipeline.sql_files import SqlFolder
from meta_ads_pipeline.windows import DateWindow

sql = SqlFolder(__file__)

logger = logging.getLogger(__name__)

_MOST_RUNS = 3
"""So often the job is started by one command whose database is restarted under it."""


@dataclass
class SyncOutcome:
    """What a sync did. Row counts are over ``raw``; ``seconds`` is wall time."""

    sync_id: str
    started_at: str
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
    accounts_left_out: dict[str, str] = field(default_factory=dict)

    @property
    def rows_changed(self) -> int:
        """Raw rows that this sync inserted, updated or deleted."""
        return self.rows_inserted + self.rows_updated + self.rows_deleted

    @property
    def marts_built(self) -> bool:
        """Whether nothing failed in building the marts."""
        return not any(step.startswith("dbt") for step in self.failed_steps)

    def as_json(self) -> dict[str, Any]:
        """The outcome as plain values."""
        return {**asdict(self), "rows_changed": self.rows_changed}


def run_sync(
    runtime: Runtime,
    window: DateWindow,
    accounts: Sequence[str],
    console: Console | None,
    *,
    all_hours: bool = False,
) -> SyncOutcome:
    """Run the ``sync`` job in this process over ``window``; the run shows in the Dagster UI.

    The same request made again while an earlier one is unfinished resumes it: slices that were
    done are not fetched again. ``console`` shows progress; None is silent. Hours that were landed
    before and agree with their day, ad by ad, are read again with ``all_hours`` only.
    """
    started = time.monotonic()
    sync = open_sync(runtime.database, window.start, window.end, accounts)
    mart_rows_before = _mart_rows(runtime)
    expected = _expected_calls(runtime, sync, window, accounts)
    calls_before = _calls(runtime, sync.sync_id)
    progress = SyncProgress(
        runtime.database,
        budget_rules(runtime.settings),
        sync.sync_id,
        window,
        lambda: _accounts(runtime, accounts),
        console,
    )
    with progress, ended_soon_by_signals(INTERRUPTED):
        tags = _tags(sync, window, accounts, all_hours=all_hours)
        result = _run_through_restarts(runtime, tags, progress.steps)
    outcome = SyncOutcome(
        sync_id=sync.sync_id,
        started_at=sync.started_at.isoformat(),
        start=window.start.isoformat(),
        end=window.end.isoformat(),
        resumed=sync.resumed,
        success=result.succeeded,
        seconds=round(time.monotonic() - started, 1),
        expected_api_calls=expected,
        failed_steps=result.failed_steps,
        failed_checks=result.failed_checks,
        errors=list(dict.fromkeys(result.errors)),
        accounts_left_out=_left_out(runtime, accounts),
    )
    _add_counts(runtime, outcome)
    outcome.api_calls -= calls_before  # of a resumed sync: those of this command alone
    # A restarted server may count from zero again.
    outcome.mart_rows_changed = max(0, _mart_rows(runtime) - mart_rows_before)
    landed = result.succeeded and outcome.slices_failed == 0
    outcome.success = landed and not outcome.failed_checks and not outcome.accounts_left_out
    # A failed check is news, not unfinished work: only missing slices or marts are resumed.
    finish_sync(runtime.database, sync.sync_id, succeeded=landed)
    return outcome


def build_marts(runtime: Runtime, window: DateWindow, accounts: Sequence[str]) -> list[str]:
    """Build and check the marts of a window from what ``raw`` holds, without a call to Meta.

    Returns the failed steps and checks.
    """
    result = run_job(
        _tags(None, window, accounts),
        runtime.settings.home / "sync.log",
        groups_left_out=("raw",),
    )
    return [] if result.succeeded and not result.failed_checks else result.problems


def _is_of_the_storage(error: BaseException) -> bool:
    """Whether Dagster lost the database under its own records."""
    from dagster_postgres.utils import DagsterPostgresException
    from sqlalchemy.exc import DBAPIError

    return isinstance(error, DBAPIError | DagsterPostgresException)


def _run_through_restarts(runtime: Runtime, tags: dict[str, str], steps: Steps) -> JobResult:
    """The job; when the database was restarted under it, the rest of it in another run."""
    import dagster as dg

    runs_left = _MOST_RUNS
    while True:
        runs_left -= 1
        run_id, started_at = str(uuid.uuid4()), runtime.database.started_at()
        result, lost = None, None
        try:
            result = run_job(
                tags,
                runtime.settings.home / "sync.log",
                run_id=run_id,
                steps=steps,
            )
            if result.succeeded:
                return result
        except Exception as error:
            if not _is_of_the_storage(error):
                raise
            lost = error
        if runs_left and runtime.database.started_at() != started_at:
            logger.warning("The database was restarted; resuming")
            steps.finished = 0
            with dg.DagsterInstance.get() as instance:
                close_run(instance, run_id, "The database was restarted under the run")
        elif result is not None:
            return result
        else:
            raise DatabaseError(
                "lost database connection. What has landed is kept. Run the same command to resume"
            ) from lost


def _tags(
    sync: Sync | None, window: DateWindow, accounts: Sequence[str], *, all_hours: bool = False
) -> dict[str, str]:
    from meta_ads_pipeline.run_tags import ACCOUNTS_TAG, CHANGED_HOURS, HOURS_TAG, SYNC_TAG

    return {
        "dagster/asset_partition_range_start": window.start.isoformat(),
        "dagster/asset_partition_range_end": window.end.isoformat(),
        **({SYNC_TAG: sync.sync_id} if sync is not None else {}),
        **({} if all_hours else {HOURS_TAG: CHANGED_HOURS}),
        **({ACCOUNTS_TAG: ",".join(accounts)} if accounts else {}),
    }


def _accounts(runtime: Runtime, named: Sequence[str]) -> list[Account]:
    """The ad accounts that a sync reads, as far as they are known."""
    try:
        return accounts_of_run(runtime.database, named, runtime.settings.ad_account_ids)
    except UnknownAccountError:
        return []


def _left_out(runtime: Runtime, named: Sequence[str]) -> dict[str, str]:
    """The accounts that the sync should have read and could not, with the reason."""
    wanted = set(named or runtime.settings.ad_account_ids)
    known = known_accounts(runtime.database)
    found = {
        each.account_id: each.reason or str(each.state)
        for each in known
        if each.is_left_out and (not wanted or each.account_id in wanted)
    }
    # One of another connection, or mistyped, is known to nobody.
    for account_id in sorted(wanted - {each.account_id for each in known}):
        found[account_id] = "no connection reads it"
    return found


def _expected_calls(
    runtime: Runtime, sync: Sync, window: DateWindow, accounts: Sequence[str]
) -> int | None:
    """What the pulls should cost; None where an account is not known yet."""
    known = _accounts(runtime, accounts)
    if not known:
        return None
    return expected_calls(
        runtime.database,
        known,
        window,
        sync.sync_id,
        with_reach=runtime.settings.reach,
    )


def _calls(runtime: Runtime, sync_id: str) -> int:
    """Calls of all the sync's pulls; a slice itself remembers those of its last one."""
    with runtime.database.connect() as connection:
        row = connection.execute(
            "select coalesce(sum(api_calls), 0)::int as calls from control.slice_loads"
            " where sync_id = %s",
            [sync_id],
        ).fetchone()
    assert row is not None
    return int(row["calls"])


def _add_counts(runtime: Runtime, outcome: SyncOutcome) -> None:
    with runtime.database.connect() as connection:
        row = connection.execute(
            sql("sync_row_counts"),
            {"sync": outcome.sync_id},
        ).fetchone()
        states = connection.execute(
            sql("sync_slice_counts"),
            {"sync": outcome.sync_id},
        ).fetchone()
    assert row is not None
    assert states is not None
    outcome.rows_inserted, outcome.rows_updated = int(row["inserted"]), int(row["updated"])
    outcome.rows_deleted, outcome.rows_unchanged = int(row["deleted"]), int(row["unchanged"])
    outcome.rows_dead_lettered = int(row["dead"])
    outcome.api_calls = _calls(runtime, outcome.sync_id)
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
