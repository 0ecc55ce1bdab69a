"""Slices, (account, date, asset): what is done, what failed and why, and who is at it now."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeAlias

import psycopg

from meta_ads_pipeline.control.database import Database

Connection: TypeAlias = psycopg.Connection[dict[str, Any]]

logger = logging.getLogger(__name__)

_LONGEST_MESSAGE = 2000


@dataclass(frozen=True)
class SliceKey:
    """The slices of one account and asset; the dates are given beside it, account-local."""

    account_id: str
    asset: str


@dataclass(frozen=True)
class SliceCounts:
    """What replacing one slice did, in rows."""

    fetched: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    dead_lettered: int = 0

    @property
    def changed(self) -> int:
        """Rows inserted, updated or deleted."""
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True)
class Attempt:
    """Who works on slices: the sync they belong to, and the run."""

    sync_id: str
    run_id: str


def done_under(connection: Connection, key: SliceKey, sync_id: str) -> dict[date, int]:
    """The dates that need no fetching in this sync, with the rows each slice holds.

    A slice is done for a sync when it was done by it, or by anyone since it began.
    """
    rows = connection.execute(
        "select partition_date,"
        " coalesce(rows_inserted + rows_updated + rows_unchanged, 0) as rows"
        " from control.slices"
        " where account_id = %(account)s and asset = %(asset)s and status = 'done'"
        " and (sync_id = %(sync)s or pulled_at >="
        "   (select started_at from control.syncs where sync_id::text = %(sync)s))",
        {"account": key.account_id, "asset": key.asset, "sync": sync_id},
    ).fetchall()
    return {row["partition_date"]: row["rows"] for row in rows}


def loaded_at(
    connection: Connection, key: SliceKey, dates: Collection[date]
) -> dict[date, datetime]:
    """When each slice that was ever loaded was last pulled (UTC)."""
    rows = connection.execute(
        "select partition_date, pulled_at from control.slices"
        " where account_id = %s and asset = %s and partition_date = any(%s)"
        " and pulled_at is not null",
        [key.account_id, key.asset, list(dates)],
    ).fetchall()
    return {row["partition_date"]: row["pulled_at"] for row in rows}


def rows_per_day(connection: Connection, key: SliceKey) -> float | None:
    """The mean number of rows of the account's latest slices; None before the first load."""
    row = connection.execute(
        "select avg(rows_fetched)::float as mean from ("
        " select rows_fetched from control.slices"
        " where account_id = %s and asset = %s and rows_fetched is not null"
        " order by partition_date desc limit 14) as latest",
        [key.account_id, key.asset],
    ).fetchone()
    assert row is not None
    mean: float | None = row["mean"]
    return mean


def claim(connection: Connection, key: SliceKey, dates: Collection[date], by: Attempt) -> None:
    """Mark slices as being worked on. ``attempts`` counts those since the slice was last done."""
    connection.execute(
        "insert into control.slices"
        " (account_id, partition_date, asset, status, sync_id, run_id, attempts)"
        " select %(account)s, day, %(asset)s, 'running', %(sync)s, %(run)s, 1"
        " from unnest(%(dates)s::date[]) as day"
        " on conflict (account_id, partition_date, asset) do update set"
        "   status = 'running', sync_id = excluded.sync_id, run_id = excluded.run_id,"
        "   attempts = case when slices.status = 'done' then 1 else slices.attempts + 1 end,"
        "   started_at = clock_timestamp(), finished_at = null, next_attempt_at = null",
        _parameters(key, dates, by),
    )


def fail(
    connection: Connection,
    key: SliceKey,
    dates: Collection[date],
    by: Attempt,
    *,
    kind: str,
    message: str,
) -> None:
    """Mark slices as failed, with why. ``message`` must hold no secret. Their rows are kept."""
    connection.execute(
        "insert into control.slices (account_id, partition_date, asset, status, sync_id, run_id,"
        "   attempts, finished_at, error_kind, error_message)"
        " select %(account)s, day, %(asset)s, 'failed', %(sync)s, %(run)s, 1,"
        "   clock_timestamp(), %(kind)s, %(message)s"
        " from unnest(%(dates)s::date[]) as day"
        " on conflict (account_id, partition_date, asset) do update set"
        "   status = 'failed', sync_id = excluded.sync_id, run_id = excluded.run_id,"
        "   finished_at = excluded.finished_at, error_kind = excluded.error_kind,"
        "   error_message = excluded.error_message",
        {**_parameters(key, dates, by), "kind": kind, "message": message[:_LONGEST_MESSAGE]},
    )


def finish(
    connection: Connection,
    key: SliceKey,
    counts: Mapping[date, SliceCounts],
    by: Attempt,
    *,
    pulled_at: datetime,
    api_calls: Mapping[date, int],
) -> None:
    """Record slices as done and add them to the audit. Call it in the load's own transaction."""
    dates = sorted(counts)
    parameters = {
        **_parameters(key, dates, by),
        "pulled_at": pulled_at,
        "calls": [api_calls.get(day, 0) for day in dates],
        **{
            name: [getattr(counts[day], name) for day in dates]
            for name in SliceCounts.__dataclass_fields__
        },
    }
    values = (
        " from unnest(%(dates)s::date[], %(fetched)s::int[], %(inserted)s::int[],"
        " %(updated)s::int[], %(deleted)s::int[], %(unchanged)s::int[], %(dead_lettered)s::int[],"
        " %(calls)s::int[])"
        " as l(day, fetched, inserted, updated, deleted, unchanged, dead_lettered, calls)"
    )
    connection.execute(
        "insert into control.slices (account_id, partition_date, asset, status, sync_id, run_id,"
        "   attempts, rows_fetched, rows_inserted, rows_updated, rows_deleted, rows_unchanged,"
        "   rows_dead_lettered, api_calls, pulled_at, finished_at)"
        " select %(account)s, day, %(asset)s, 'done', %(sync)s, %(run)s, 1, fetched, inserted,"
        "   updated, deleted, unchanged, dead_lettered, calls, %(pulled_at)s, clock_timestamp()"
        f" {values}"
        " on conflict (account_id, partition_date, asset) do update set"
        "   status = 'done', sync_id = excluded.sync_id, run_id = excluded.run_id,"
        "   rows_fetched = excluded.rows_fetched, rows_inserted = excluded.rows_inserted,"
        "   rows_updated = excluded.rows_updated, rows_deleted = excluded.rows_deleted,"
        "   rows_unchanged = excluded.rows_unchanged,"
        "   rows_dead_lettered = excluded.rows_dead_lettered, api_calls = excluded.api_calls,"
        "   pulled_at = excluded.pulled_at, finished_at = excluded.finished_at,"
        "   error_kind = null, error_message = null, next_attempt_at = null",
        parameters,
    )
    connection.execute(
        "insert into control.slice_loads (account_id, partition_date, asset, sync_id, run_id,"
        "   rows_fetched, rows_inserted, rows_updated, rows_deleted, rows_unchanged,"
        "   rows_dead_lettered, pulled_at)"
        " select %(account)s, day, %(asset)s, %(sync)s, %(run)s, fetched, inserted, updated,"
        f"   deleted, unchanged, dead_lettered, %(pulled_at)s {values}",
        parameters,
    )


class SliceLock:
    """Slices that no other run works on while this one does. Release dates as they are done."""

    def __init__(self, connection: Connection, key: SliceKey) -> None:
        self._connection = connection
        self._name = f"slice:{key.asset}:{key.account_id}"

    def take(self, dates: Collection[date]) -> None:
        """Wait for each date in turn: in order, so that two runs never wait in a circle."""
        for number in sorted(day.toordinal() for day in dates):
            if not self._call("pg_try_advisory_lock", [number]):
                logger.info(
                    "%s on %s: another run is at it, waiting", self._name, date.fromordinal(number)
                )
                self._call("pg_advisory_lock", [number])

    def release(self, dates: Collection[date]) -> None:
        """Let others at these dates; the rest goes when the lock's block ends."""
        self._call("pg_advisory_unlock", [day.toordinal() for day in dates])

    def _call(self, function: str, numbers: list[int]) -> bool:
        row = self._connection.execute(
            f"select bool_and({function}(hashtext(%s), n)::text is distinct from 'false') as got"
            " from unnest(%s::int[]) as n",
            [self._name, numbers],
        ).fetchone()
        return row is not None and bool(row["got"])


@contextmanager
def exclusive(database: Database, key: SliceKey, dates: Collection[date]) -> Iterator[SliceLock]:
    """Keep other runs off these slices while they are fetched and loaded; waits for its turn.

    The locks belong to a database session, so they go with the process however that ends.
    """
    with database.connect(autocommit=True) as connection:
        lock = SliceLock(connection, key)
        lock.take(dates)
        yield lock


def _parameters(key: SliceKey, dates: Collection[date], by: Attempt) -> dict[str, Any]:
    return {
        "account": key.account_id,
        "asset": key.asset,
        "dates": list(dates),
        "sync": by.sync_id,
        "run": by.run_id,
    }
