"""Slices, (account, date, asset): what is done, what failed and why, and who is at it now."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import psycopg

from meta_ads_pipeline import __version__
from meta_ads_pipeline.control.database import Connection, Database, is_lost
from meta_ads_pipeline.control.lock_session import LockSession, join_session
from meta_ads_pipeline.control.retry_delays import LONGEST_DELAY, first_delay, is_passing
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.sql_files import SqlFolder
from meta_ads_pipeline.windows import SETTLED_AFTER_DAYS

sql = SqlFolder(__file__)

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
    """Who works on slices: the sync they belong to, and the run; for the audit, also who asked.

    ``api_version`` is the Graph API's.
    """

    sync_id: str
    run_id: str
    requested_by: str | None = None
    api_version: str | None = None


OPEN_FRESH_FOR = timedelta(minutes=15)
RECENT_FRESH_FOR = timedelta(hours=1)


def done_under(connection: Connection, key: SliceKey, sync_id: str) -> dict[date, int]:
    """The dates that need no fetching in this sync, with the rows each slice holds.

    A slice is done for a sync when it was pulled by it, or by anyone since it began, and that is
    still the newest there is to have: a day that was not over when it was pulled counts for
    ``OPEN_FRESH_FOR``, one that Meta may restate for ``RECENT_FRESH_FOR``, a settled one for good.
    Where the sync fills gaps, what was ever done is done, but for what is due to be pulled once
    more (``control.account_days``).
    """
    rows = connection.execute(
        sql("done_slices"),
        {
            "account": key.account_id,
            "asset": key.asset,
            "sync": sync_id,
            "open": OPEN_FRESH_FOR,
            "recent": RECENT_FRESH_FOR,
            "settled_after": SETTLED_AFTER_DAYS,
            "insights": list(INSIGHTS_TABLES),
        },
    ).fetchall()
    return {row["partition_date"]: row["rows"] for row in rows}


def pulled_under(
    connection: Connection, key: SliceKey, sync_id: str, dates: Collection[date]
) -> set[date]:
    """Of these dates those that the sync itself has pulled."""
    rows = connection.execute(
        "select partition_date from control.slices where account_id = %s and asset = %s"
        " and sync_id = %s and partition_date = any(%s) and status = 'done'"
        " and pulled_at is not null",
        [key.account_id, key.asset, sync_id, list(dates)],
    ).fetchall()
    return {row["partition_date"] for row in rows}


def was_loaded(connection: Connection, key: SliceKey) -> bool:
    """Whether any date was ever pulled."""
    row = connection.execute(
        "select exists (select from control.slices where account_id = %s and asset = %s"
        " and pulled_at is not null) as found",
        [key.account_id, key.asset],
    ).fetchone()
    assert row is not None
    return bool(row["found"])


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


def told_under(connection: Connection, key: SliceKey, sync_id: str) -> set[date]:
    """The dates that the sync has done, or whose failure under it is written down."""
    rows = connection.execute(
        "select partition_date from control.slices where account_id = %s and asset = %s"
        " and sync_id = %s and status in ('failed', 'parked')",
        [key.account_id, key.asset, sync_id],
    ).fetchall()
    return {row["partition_date"] for row in rows} | set(done_under(connection, key, sync_id))


@dataclass(frozen=True)
class UndoneSlice:
    """A slice that a sync was to pull and did not, with the reason where one is known."""

    account_id: str
    asset: str
    partition_date: date
    message: str | None


def undone_under(
    connection: Connection, sync_id: str, dates: Collection[date]
) -> list[UndoneSlice]:
    """What the sync last worked on and left undone, of these account-local dates."""
    rows = connection.execute(
        "select account_id, asset, partition_date, error_message as message from control.slices"
        " where sync_id = %s and partition_date = any(%s)"
        " and status in ('failed', 'parked', 'running') order by 1, 2, 3",
        [sync_id, list(dates)],
    ).fetchall()
    return [UndoneSlice(**row) for row in rows]


def rows_per_day(connection: Connection, key: SliceKey) -> float | None:
    """The mean number of rows of the account's latest slices; None before the first load."""
    row = connection.execute(
        sql("rows_per_day"), {"account": key.account_id, "asset": key.asset}
    ).fetchone()
    assert row is not None
    mean: float | None = row["mean"]
    return mean


def claim(connection: Connection, key: SliceKey, dates: Collection[date], by: Attempt) -> None:
    """Mark slices as being worked on. ``attempts`` counts those since the slice was last done."""
    connection.execute(
        sql("claim_slices"),
        _parameters(key, dates, by),
    )


def claim_undone(
    connection: Connection, key: SliceKey, dates: Collection[date], by: Attempt
) -> dict[date, int]:
    """Claim what the sync has not done yet; returns what it has, as ``done_under`` does."""
    done = done_under(connection, key, by.sync_id)
    claim(connection, key, sorted(set(dates) - done.keys()), by)
    return done


def mark_not_kept(
    connection: Connection, key: SliceKey, dates: Collection[date], by: Attempt
) -> None:
    """Mark dates that Meta no longer keeps, so that nobody asks; what was landed stays done."""
    connection.execute(
        sql("mark_slices_not_kept"),
        _parameters(key, dates, by),
    )


def finish_with_newer(
    connection: Connection, key: SliceKey, dates: Collection[date], by: Attempt
) -> None:
    """Record slices as done whose landed rows are of a later pull than this attempt's."""
    connection.execute(
        "update control.slices set status = 'done', sync_id = %(sync)s, run_id = %(run)s,"
        "   finished_at = clock_timestamp(), error_kind = null, error_message = null,"
        "   next_attempt_at = null"
        " where account_id = %(account)s and asset = %(asset)s"
        "   and partition_date = any(%(dates)s)",
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
    """Record a failure, with why and when to try again. ``message`` must hold no secret.

    What may pass by itself is parked until a time that moves away with every attempt; what a
    person must put right first has failed. The slices' rows are kept.
    """
    delay = first_delay(kind)
    connection.execute(
        sql("fail_slices"),
        {
            **_parameters(key, dates, by),
            "status": "parked" if is_passing(kind) else "failed",
            "kind": kind,
            "message": message[:_LONGEST_MESSAGE],
            "delay": delay,
            "longest": LONGEST_DELAY,
        },
    )
    connection.execute(
        sql("record_slice_failures"),
        {**_parameters(key, dates, by), **_audited(by)},
    )


def finish(
    connection: Connection,
    key: SliceKey,
    counts: Mapping[date, SliceCounts],
    by: Attempt,
    *,
    pulled_at: datetime,
    api_calls: Mapping[date, int],
    attribution_windows: Sequence[str] = (),
) -> None:
    """Record slices as done and add them to the audit. Call it in the load's own transaction.

    ``attribution_windows`` are those that the pull asked for: without them a window that Meta left
    out because it is 0 could not be told from one that was not asked.
    """
    dates = sorted(counts)
    parameters = {
        **_parameters(key, dates, by),
        "pulled_at": pulled_at,
        "calls": [api_calls.get(day, 0) for day in dates],
        "windows": list(attribution_windows),
        **_audited(by),
        **{
            name: [getattr(counts[day], name) for day in dates]
            for name in SliceCounts.__dataclass_fields__
        },
    }
    connection.execute(
        sql("finish_slices"),
        parameters,
    )
    connection.execute(
        sql("record_slice_loads"),
        parameters,
    )


def _audited(by: Attempt) -> dict[str, str | None]:
    return {
        "requested_by": by.requested_by,
        "api_version": by.api_version,
        "code_version": __version__,
    }


LOCK_CLASS = 0x511CE
"""Advisory locks of this class, one per holder, say that the holder lives."""

_LIVES = (
    "exists (select from pg_locks as p where p.locktype = 'advisory' and p.granted"
    " and p.database = (select oid from pg_database where datname = current_database())"
    f" and p.classid::bigint = {LOCK_CLASS} and p.objid::bigint = l.holder and p.objsubid = 2)"
)

IS_HELD = (
    "exists (select from control.slice_locks as l where l.account_id = s.account_id"
    f" and l.asset = s.asset and s.partition_date = any(l.dates) and {_LIVES})"
)
"""SQL: whether a live run holds slice ``s``. One marked running without it is dead."""

IS_READ_AGAIN = (
    f"(s.status = 'running' and s.attempts = 1 and s.pulled_at is not null and {IS_HELD})"
)
"""SQL: whether slice ``s`` was done when a live run took it up again: its rows are there."""


class SliceLock:
    """Slices that no other run works on while this one does. Release dates as they are done.

    The dates are a row of ``control.slice_locks``; it counts while a database session holds one
    advisory lock, however many dates there are; all locks of a process share that session. When the
    server goes away it goes, too: the dates are taken again as far as they are still free. Who took
    one meanwhile fetches that slice a second time, which costs calls but changes nothing.
    """

    def __init__(self, database: Database, key: SliceKey) -> None:
        self._database = database
        self._key = key
        self._held: set[date] = set()
        self._holder = 0
        self._session: LockSession | None = None

    def take(self, dates: Collection[date]) -> None:
        """Wait until no other run is at any of the dates, then hold them all."""
        told = False
        while True:
            try:
                busy = self._try(dates)
            except psycopg.Error as error:
                if not is_lost(error):
                    raise
                self._reconnect()
                continue
            if not busy:
                self._held = set(dates)
                return
            if not told:
                logger.info(
                    "%s of act_%s on %s: another run is working on it; waiting",
                    *(self._key.asset, self._key.account_id, min(busy)),
                )
                told = True
            time.sleep(_LOOK_AGAIN_SECONDS)

    def release(self, dates: Collection[date]) -> None:
        """Let others at these dates; the rest goes when the lock's block ends."""
        self._held.difference_update(dates)
        try:
            self._call(_HOLD, {"holder": self._holder, "dates": sorted(self._held)})
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            self._retake()

    def check(self) -> None:
        """Take the dates again, as far as they are free, where the session was lost meanwhile."""
        try:
            self._call("select", {})
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            self._retake()

    def close(self) -> None:
        """Let go of what is still held."""
        if self._session is not None:
            with suppress(psycopg.Error):
                self._call("delete from control.slice_locks where holder = %(holder)s", {})
                self._call("select pg_advisory_unlock(%(class)s, %(holder)s)", _CLASS)
        self._end()

    def _end(self) -> None:
        if self._session is not None:
            self._session.leave()
        self._session = None

    def _reconnect(self) -> None:
        logger.warning(
            "%s of act_%s: lost the database connection and with it the lock; taking it again",
            *(self._key.asset, self._key.account_id),
        )
        self._end()

    def _retake(self) -> None:
        self._reconnect()
        while busy := self._try(self._held):
            logger.warning(
                "%s of act_%s on %s: another run took it meanwhile",
                *(self._key.asset, self._key.account_id, min(busy)),
            )
            self._held -= busy

    def _try(self, dates: Collection[date]) -> set[date]:
        """Hold the dates unless live others hold some; returns those."""
        if self._session is None:
            self._session = join_session(self._database)
            self._holder = secrets.randbelow(2**31)
            self._call("select pg_advisory_lock(%(class)s, %(holder)s)", _CLASS)
        with self._session.turn() as connection, connection.transaction():
            self._call(
                "select pg_advisory_xact_lock(hashtextextended(%(name)s, 0))",
                {"name": lock_name(self._key)},
            )
            rows = self._call(
                f"select unnest(l.dates) as day, {_LIVES} as lives"
                " from control.slice_locks as l where l.account_id = %(account)s"
                " and l.asset = %(asset)s and l.holder <> %(holder)s"
                " and l.dates && %(dates)s::date[]",
                {"dates": list(dates)},
            )
            busy = {row["day"] for row in rows if row["lives"]} & set(dates)
            if not busy:
                self._call(
                    f"delete from control.slice_locks as l where not {_LIVES}"
                    " and l.account_id = %(account)s and l.asset = %(asset)s",
                    {},
                )
                self._call(
                    "insert into control.slice_locks (holder, account_id, asset, dates)"
                    " values (%(holder)s, %(account)s, %(asset)s, %(dates)s)"
                    " on conflict (holder) do update set dates = excluded.dates",
                    {"dates": list(dates)},
                )
        return busy

    def _call(self, query: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        if self._session is None:
            raise psycopg.OperationalError("the lock's session has ended")
        mine = {
            "holder": self._holder,
            "account": self._key.account_id,
            "asset": self._key.asset,
        }
        with self._session.turn() as connection:
            cursor = connection.execute(query.encode(), {**mine, **parameters})
            return cursor.fetchall() if cursor.description else []


_LOOK_AGAIN_SECONDS = 0.5
_CLASS = {"class": LOCK_CLASS}
_HOLD = "update control.slice_locks set dates = %(dates)s where holder = %(holder)s"


def lock_name(key: SliceKey) -> str:
    """What the short lock is named after under which an account's asset changes hands."""
    return f"slice:{key.asset}:{key.account_id}"


@contextmanager
def exclusive(database: Database, key: SliceKey, dates: Collection[date]) -> Iterator[SliceLock]:
    """Keep other runs off these slices while they are fetched and loaded; waits for its turn.

    The lock belongs to a database session, so it goes with the process however that ends.
    """
    lock = SliceLock(database, key)
    try:
        lock.take(dates)
        yield lock
    finally:
        lock.close()


def _parameters(key: SliceKey, dates: Collection[date], by: Attempt) -> dict[str, Any]:
    return {
        "account": key.account_id,
        "asset": key.asset,
        "dates": list(dates),
        "sync": by.sync_id,
        "run": by.run_id,
    }
