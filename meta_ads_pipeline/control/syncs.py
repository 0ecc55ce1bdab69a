"""Syncs: what was asked for. The same request, made again while unfinished, resumes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

RESUMED_WITHIN = timedelta(hours=24)
"""An older unfinished sync begins anew: Meta has restated days since, so done is out of date."""


@dataclass(frozen=True)
class Sync:
    """One request. ``resumed``: an earlier, unfinished request for the same is resumed."""

    sync_id: str
    scope: str
    start: date
    end: date
    started_at: datetime
    resumed: bool


def sync_scope(start: date, end: date, accounts: Sequence[str] = (), what: str = "sync") -> str:
    """The words that make two requests the same one, whatever the order of the accounts."""
    ids = ",".join(sorted({account.removeprefix("act_") for account in accounts})) or "all"
    return f"{what} {start} {end} {ids}"


def open_sync(
    database: Database,
    start: date,
    end: date,
    accounts: Sequence[str] = (),
    *,
    what: str = "sync",
    resumed_within: timedelta = RESUMED_WITHIN,
) -> Sync:
    """Begin a sync of ``start`` to ``end`` (both included), or resume the same unfinished one.

    ``accounts`` empty means every active account. Under a resumed sync, slices already done are
    not fetched again.
    """
    with database.connect() as connection:
        row = connection.execute(
            sql("open_sync"),
            {
                "scope": sync_scope(start, end, accounts, what),
                "start": start,
                "end": end,
                "within": resumed_within,
            },
        ).fetchone()
    assert row is not None
    return Sync(
        sync_id=row["sync_id"],
        scope=sync_scope(start, end, accounts, what),
        start=start,
        end=end,
        started_at=row["started_at"],
        resumed=row["resumed"],
    )


def open_gap_sync(database: Database, start: date, end: date, accounts: Sequence[str]) -> str:
    """The sync that fills gaps of a window; its id.

    It began before anything else, so that every slice that was ever done counts as done: only
    what is missing is fetched. The same request again resumes the same sync.
    """
    with database.connect() as connection:
        row = connection.execute(
            "insert into control.syncs as s (scope, start_date, end_date, started_at)"
            " values (%s, %s, %s, 'epoch')"
            " on conflict (scope) where status <> 'done' do update set status = 'running',"
            "   opened_at = now()"
            " returning sync_id::text as sync_id",
            [sync_scope(start, end, accounts, "gaps"), start, end],
        ).fetchone()
    assert row is not None
    return str(row["sync_id"])


def finish_sync(database: Database, sync_id: str, *, succeeded: bool) -> None:
    """Close a sync. One that did not succeed stays open: the same request resumes it."""
    with database.connect() as connection:
        connection.execute(
            "update control.syncs set status = %s, finished_at = now()"
            " where sync_id::text = %s and status <> 'done'",
            ["done" if succeeded else "failed", sync_id],
        )
