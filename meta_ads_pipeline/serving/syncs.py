"""Starting, watching and cancelling runs for one workspace; the runs are Dagster's.

A run that is asked for here names its accounts, dates, workspace and who asked in its tags. What
would pull the same dates of the same accounts as a run that is not over is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from meta_ads_pipeline.control.accounts import accounts_of_run
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.gaps import REACH, SLICED_ASSETS
from meta_ads_pipeline.control.row_security import in_workspace, rows_in_workspace
from meta_ads_pipeline.credentials.connection_accounts import account_owners
from meta_ads_pipeline.errors import MetaAdsError, NotFoundError
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from meta_ads_pipeline.raw.cost_estimate import plan_accounts, plan_document, total_seconds
from meta_ads_pipeline.run_tags import (
    ACCOUNTS_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    REQUESTED_BY_TAG,
    WORKSPACE_TAG,
)
from meta_ads_pipeline.serving.access import Caller
from meta_ads_pipeline.serving.dagster_client import DagsterClient
from meta_ads_pipeline.serving.problems import BadRequestError
from meta_ads_pipeline.settings import Settings
from meta_ads_pipeline.sql_files import SqlFolder
from meta_ads_pipeline.windows import DateWindow, begun, local_today

sql = SqlFolder(__file__)

UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")

SYNC_JOB, BACKFILL_JOB, ENTITIES_JOB = "refresh_insights", "sync", "refresh_entities"
"""Names of Dagster jobs: without reach, with it, and objects without numbers."""

_ENTITY_ASSETS = ("campaigns", "adsets", "ads", "creatives")
_PULLED_BY = {
    SYNC_JOB: SLICED_ASSETS,
    BACKFILL_JOB: (*SLICED_ASSETS, REACH),
    ENTITIES_JOB: _ENTITY_ASSETS,
    "refresh_reach": (REACH,),
}
"""The assets that have a slice for each account and date, by job."""


class RunInFlightError(MetaAdsError):
    """A run that is not over pulls the same; ``run_id`` is its id."""

    def __init__(self, run_id: str, why: str) -> None:
        self.run_id = run_id
        super().__init__(why)


class RunNotFoundError(NotFoundError):
    """No run of the workspace has this id."""


class ConnectionUnknownError(NotFoundError):
    """No connection of the workspace has this name or id."""


class NotYoursError(MetaAdsError):
    """The run reads ad accounts of other workspaces, too."""


@dataclass(frozen=True)
class Launch:
    """A run that is in Dagster's queue now."""

    run_id: str
    job: str
    start: date
    end: date
    account_ids: tuple[str, ...]


class Syncs:
    """What one service may start and see, on its settings, database and Dagster."""

    def __init__(self, settings: Settings, database: Database, dagster: DagsterClient) -> None:
        self._settings, self._database, self.dagster = settings, database, dagster

    def connections(self, caller: Caller, name: str | None = None) -> list[dict[str, Any]]:
        """The workspace's connections, without their tokens; ``name`` is a name or an id."""
        return self._rows(caller, "connections", connection=name)

    def chosen(self, caller: Caller, connection: str, accounts: Sequence[str]) -> tuple[str, ...]:
        """The accounts of a connection that are meant: those named, or all that are synced.

        Raises ``ConnectionUnknownError``, and ``BadRequestError`` for accounts of others.
        """
        found = self.connections(caller, connection)
        if not found:
            raise ConnectionUnknownError(f"there is no connection {connection!r}")
        own = found[0]["account_ids"]
        wanted = [account.removeprefix("act_") for account in accounts]
        unknown = [account for account in wanted if account not in own]
        if unknown:
            raise BadRequestError(
                f"accounts: {', '.join(unknown)} is not synced with this connection, "
                f"which has {', '.join(own) or 'none yet'}"
            )
        if not own:
            raise BadRequestError(
                "no ad account is synced with this connection yet: run `meta-ads sync` once"
            )
        return tuple(sorted(set(wanted))) or tuple(own)

    def window(self, accounts: Sequence[str], start: date | None, end: date | None) -> DateWindow:
        """The dates that are meant; unset, today and yesterday where the accounts are.

        Raises ``BadRequestError`` for dates that are not kept or have not begun anywhere.
        """
        known = accounts_of_run(self._database, accounts, self._settings.ad_account_ids)
        todays = [local_today(each.timezone, datetime.now(UTC)) for each in known]
        last = end or max(todays)
        first = start or (end or min(todays)) - timedelta(days=0 if end else 1)
        earliest = date.fromisoformat(self._settings.history_start)
        if first < earliest:
            raise BadRequestError(f"start: {first} is before the history's start, {earliest}")
        if last > max(todays):
            raise BadRequestError(f"end: {last} has not begun in any of the accounts")
        if last < first:
            raise BadRequestError(f"end: {last} is before start, {first}")
        return DateWindow(first, last)

    def plan(self, window: DateWindow, accounts: Sequence[str]) -> dict[str, Any]:
        """What pulling these dates would cost: calls, rows, share of the hourly budget, time."""
        settings = self._settings
        plans = plan_accounts(
            self._database,
            accounts_of_run(self._database, accounts, settings.ad_account_ids),
            window,
            rules=BudgetRules(calls_per_hour=settings.calls_per_hour),
            readers=settings.max_parallel_requests_per_account,
            with_reach=settings.reach,
        )
        seconds = total_seconds(plans, account_owners(self._database))
        return plan_document(window, plans, seconds)

    def launch(
        self, caller: Caller, job: str, window: DateWindow, accounts: Sequence[str]
    ) -> Launch:
        """Queue a run of ``job``. Raises ``RunInFlightError`` and the errors of Dagster's client.

        Of two equal requests at once, the second waits and is refused.
        """
        with self._database.exclusive(f"launch for {caller.workspace_id}"):
            self._refuse_duplicates(caller, job, window, accounts)
            run_id = self.dagster.launch(
                job,
                {
                    RANGE_START_TAG: window.start.isoformat(),
                    RANGE_END_TAG: window.end.isoformat(),
                    ACCOUNTS_TAG: ",".join(accounts),
                    WORKSPACE_TAG: caller.workspace_id,
                    REQUESTED_BY_TAG: caller.member,
                },
            )
        return Launch(run_id, job, window.start, window.end, tuple(accounts))

    def _refuse_duplicates(
        self, caller: Caller, job: str, window: DateWindow, accounts: Sequence[str]
    ) -> None:
        wanted = set(_PULLED_BY[job]) - set(_ENTITY_ASSETS) or set(_ENTITY_ASSETS)
        for run in self._runs(caller, state="unfinished", limit=1000):
            shared = set(accounts) & set(run["account_ids"])
            if not shared or not wanted & set(_PULLED_BY.get(run["job"], ())):
                continue
            if not _touches(run, window):
                continue
            raise RunInFlightError(
                run["run_id"],
                f"run {run['run_id']} ({run['job']}, {run['status'].lower()}) is at work on "
                f"{_dates(run)} of {', '.join(sorted(shared))}: wait for it, or cancel it",
            )

    def runs(
        self, caller: Caller, *, state: str | None = None, limit: int = 50, offset: int = 0
    ) -> list[dict[str, Any]]:
        """Runs that read the workspace's accounts, the latest first."""
        return [
            self._described(run)
            for run in self._runs(caller, state=state, limit=limit, offset=offset)
        ]

    def run(self, caller: Caller, run_id: str) -> dict[str, Any]:
        """A run with how far it has come. Raises ``RunNotFoundError``."""
        found = self._one(caller, run_id)

        def work(session: Any) -> tuple[list[Any], list[Any], list[Any]]:
            asked = {"run": run_id, "workspace": caller.workspace_id}
            return (
                session.execute(sql("run_slices"), asked).fetchall(),
                session.execute(sql("run_failures"), asked).fetchall(),
                session.execute("select * from control.run_steps(%s)", [run_id]).fetchall(),
            )

        slices, failures, steps = in_workspace(self._database, caller.workspace_id, work)
        counted = {row["status"]: row["slices"] for row in slices}
        done = sum(n for status, n in counted.items() if status != "running")
        expected = max(self._expected_slices(found), sum(counted.values()))
        return {
            **self._described(found),
            "slices_expected": expected,
            "slices_done": done,
            "slices_by_status": counted,
            "steps": steps,
            "failures": failures,
            "progress_percent": _percent(found, done, expected, steps),
        }

    def cancel(self, caller: Caller, run_id: str) -> dict[str, Any]:
        """Ask a run to end; one that is over stays as it is. Raises ``NotYoursError``."""
        found = self._one(caller, run_id)
        if not found["is_own"]:
            raise NotYoursError(
                "this run reads ad accounts of other workspaces, too: cancel it in Dagster"
            )
        if found["status"] in UNFINISHED:
            self.dagster.cancel(run_id)
        return self.run(caller, run_id)

    def _one(self, caller: Caller, run_id: str) -> dict[str, Any]:
        rows = self._runs(caller, run_id=run_id, limit=1)
        if not rows:
            raise RunNotFoundError(f"there is no run {run_id!r}")
        return rows[0]

    def _runs(
        self,
        caller: Caller,
        *,
        run_id: str | None = None,
        state: str | None = None,
        limit: int,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        return self._rows(
            caller, "runs", id=run_id, state=state, unfinished=list(UNFINISHED),
            limit=limit, skip=offset,
        )  # fmt: skip

    def _rows(self, caller: Caller, file: str, **asked: object) -> list[dict[str, Any]]:
        return rows_in_workspace(self._database, caller.workspace_id, sql(file), **asked)

    def _described(self, run: dict[str, Any]) -> dict[str, Any]:
        is_over = run["status"] not in UNFINISHED
        return {**run, "is_over": is_over, "link": self.dagster.link(run["run_id"])}

    def _expected_slices(self, run: dict[str, Any]) -> int:
        """As many as the run's accounts, dates that have begun and assets make; 0: unknown."""
        if run["start_date"] is None or run["job"] not in _PULLED_BY:
            return 0
        assets = [
            asset for asset in _PULLED_BY[run["job"]] if asset != REACH or self._settings.reach
        ]
        dates = DateWindow(run["start_date"], run["end_date"] or run["start_date"]).dates
        now = datetime.now(UTC)
        known = accounts_of_run(self._database, run["account_ids"], ())
        days = sum(len(begun(dates, account.timezone, now)) for account in known)
        return days * len(assets)


def _percent(run: dict[str, Any], done: int, expected: int, steps: Iterable[dict[str, Any]]) -> int:
    """Pulling is taken for four fifths of the work, the marts for the rest."""
    if run["status"] == "SUCCESS":
        return 100
    pulled = min(1.0, done / expected) if expected else 0.0
    built = any(step["step"].startswith("dbt") and step["status"] == "done" for step in steps)
    return math.floor(80 * pulled) + (19 if built else 0)


def _touches(run: dict[str, Any], window: DateWindow) -> bool:
    if run["start_date"] is None:
        return True
    end = run["end_date"] or run["start_date"]
    return bool(run["start_date"] <= window.end and end >= window.start)


def _dates(run: dict[str, Any]) -> str:
    if run["start_date"] is None:
        return "all dates"
    return f"{run['start_date']} to {run['end_date'] or run['start_date']}"
