"""Old months of hourly insights as Parquet files: out of the database, and back.

A month leaves in one transaction, after its file is written, on the disk and verified: a process
that is killed leaves the month where it was or where it is going, never in between. What stays are
the ads by the day and the account's totals, from which the marts are built again: as of dates of
which Meta keeps no hours, delivery is on day rows.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.retention import parquet
from meta_ads_pipeline.retention.parquet import ArchiveError
from meta_ads_pipeline.settings import Settings
from meta_ads_pipeline.windows import DateWindow, months_before

logger = logging.getLogger(__name__)

HOURS = "insights_hourly"
ORDER = ("event_date", "ad_id", "event_hour")
_MONTHS = (
    "select month, file, bytes, row_count, archived_at, restored_at, marts_built_at"
    " from control.archived_hours"
)
_LOCK_TIMEOUT = "10s"
"""For readers of the hours to end; of longer ones the month is left for another time."""


@dataclass(frozen=True)
class ArchivedMonth:
    """One month of hours in a file. Instants are UTC."""

    month: date
    file: str
    bytes: int
    row_count: int
    archived_at: datetime
    restored_at: datetime | None
    marts_built_at: datetime | None

    @property
    def window(self) -> DateWindow:
        """Its dates."""
        return DateWindow(self.month, _last(self.month))


def folder(settings: Settings) -> Path:
    """Where the files are."""
    return settings.home / "archive"


def archived_months(database: Database) -> list[ArchivedMonth]:
    """All months that were ever archived, the newest first."""
    with database.connect() as connection:
        rows = connection.execute(f"{_MONTHS} order by month desc").fetchall()
    return [ArchivedMonth(**row) for row in rows]


def due_months(
    database: Database, months: int, today: date, *, with_restored: bool = False
) -> list[date]:
    """Months with hours in the database that ended ``months`` months ago and more, oldest first.

    Those that were restored are among them only where that is said.
    """
    newest = months_before(today.replace(day=1), months + 1)
    with database.connect() as connection:
        rows = connection.execute(
            "select to_date(right(c.relname, 6), 'YYYYMM') as month from pg_inherits as i"
            " join pg_class as c on c.oid = i.inhrelid"
            " where i.inhparent = 'raw.insights_hourly'::regclass"
            " and (%s or to_date(right(c.relname, 6), 'YYYYMM') not in"
            "  (select month from control.archived_hours where restored_at is not null))"
            " order by 1",
            [with_restored],
        ).fetchall()
    return [row["month"] for row in rows if row["month"] <= newest]


def archive_month(database: Database, settings: Settings, month: date) -> int:
    """Move a month of hours to its file; how many rows.

    Raises ``ArchiveError`` when the month has no hours here, its file does not hold the same, or
    somebody reads the hours for too long: then all is as it was.
    """
    path = folder(settings) / f"{HOURS}_{month:%Y-%m}.parquet"
    unproven = path.with_suffix(".unproven")
    try:
        # Of a build that sees half of a month's hours go, nobody would know what came.
        with database.exclusive("marts"), database.connect() as connection:
            connection.execute("select set_config('lock_timeout', %s, true)", [_LOCK_TIMEOUT])
            known = _known(connection, month)
            if not _has_hours(connection, month):
                raise ArchiveError(f"{month:%Y-%m} has no hours in the database")
            if known is not None and known.restored_at is None:
                raise ArchiveError(
                    f"{month:%Y-%m} has new hours beside those in {known.file}: "
                    f"`meta-ads archive restore {month:%Y-%m}` first"
                )
            partition = _partition(month)
            connection.execute(sql.SQL("lock table {} in share mode").format(partition))
            parquet.write(connection, partition, ORDER, unproven)
            before = parquet.totals_of_table(connection, partition)
            if not parquet.same(parquet.totals_of_file(unproven), before):
                raise ArchiveError(f"the file of {month:%Y-%m} does not hold the same sums")
            os.replace(unproven, path)
            _keep_name(path.parent)
            rows = sum(int(counted[0]) for counted in before.values())
            _drop_partition(connection, month)
            _note(connection, month, path, rows)
    except psycopg.errors.LockNotAvailable as error:
        raise ArchiveError(
            f"the hours are being read; {month:%Y-%m} is archived another time"
        ) from error
    finally:
        unproven.unlink(missing_ok=True)
    logger.info("%s: %d rows of hours moved to %s", f"{month:%Y-%m}", rows, path)
    return rows


def restore_month(database: Database, settings: Settings, month: date) -> int:
    """Bring a month of hours back from its file, which stays; how many rows.

    Raises ``ArchiveError`` when the month is not archived, or its file is missing or is not what
    was written: then all is as it was.
    """
    with database.exclusive("marts"), database.connect() as connection:
        known = _known(connection, month)
        if known is None or known.restored_at is not None:
            raise ArchiveError(
                f"{month:%Y-%m} is not archived; `meta-ads archive list` shows what is"
            )
        path = folder(settings) / known.file
        _check_file(connection, month, path)
        connection.execute(
            "select control.ensure_month_partitions('raw.insights_hourly', %s, %s)", [month, month]
        )
        parquet.read(connection, path, _partition(month))
        if not parquet.same(
            parquet.totals_of_table(connection, _partition(month)), parquet.totals_of_file(path)
        ):
            raise ArchiveError(
                f"{month:%Y-%m} has hours in the database that are not in {known.file}"
            )
        connection.execute(
            "update control.slices as s set status = 'done', pulled_at = kept.pulled_at"
            " from control.archived_hours as a, jsonb_to_recordset(a.slices)"
            "  as kept (account_id text, partition_date date, pulled_at timestamptz)"
            " where a.month = %s and s.asset = %s and s.account_id = kept.account_id"
            " and s.partition_date = kept.partition_date and s.pulled_at is null",
            [month, HOURS],
        )
        connection.execute(
            "update control.archived_hours set restored_at = now(), marts_built_at = null"
            " where month = %s",
            [month],
        )
    return known.row_count


def archive_due(database: Database, settings: Settings, now: datetime) -> int | None:
    """Archive what is due by the setting; how many months, None where it is off.

    Raises ``ArchiveError`` of the first month that could not be moved; those before it are.
    """
    if settings.archive_after_months is None:
        return None
    months = due_months(database, settings.archive_after_months, now.date())
    for month in months:
        archive_month(database, settings, month)
    return len(months)


def build_marts(
    database: Database, rebuild: Callable[[Sequence[DateWindow]], None]
) -> list[DateWindow]:
    """Have ``rebuild`` make the marts of months that were moved since; they are returned."""
    waiting = [each for each in archived_months(database) if each.marts_built_at is None]
    for each in waiting:
        rebuild([each.window])
        with database.connect() as connection:
            connection.execute(
                "update control.archived_hours set marts_built_at = now() where month = %s",
                [each.month],
            )
    return [each.window for each in waiting]


def _known(connection: Connection, month: date) -> ArchivedMonth | None:
    row = connection.execute(
        f"{_MONTHS} where month = %s for update",
        [month],
    ).fetchone()
    return None if row is None else ArchivedMonth(**row)


def _has_hours(connection: Connection, month: date) -> bool:
    row = connection.execute(
        "select exists (select from pg_inherits where inhparent = 'raw.insights_hourly'::regclass"
        " and inhrelid = to_regclass(%s)) as found",
        [f"partitions.raw_{HOURS}_{month:%Y%m}"],
    ).fetchone()
    assert row is not None
    return bool(row["found"])


def _drop_partition(connection: Connection, month: date) -> None:
    connection.execute(
        sql.SQL("alter table raw.insights_hourly detach partition {}").format(_partition(month))
    )
    connection.execute(sql.SQL("drop table {}").format(_partition(month)))


def _note(connection: Connection, month: date, path: Path, rows: int) -> None:
    """Write down where the hours are; their slices are those of dates without hours."""
    slices = connection.execute(
        "with before as (select account_id, partition_date, pulled_at from control.slices"
        "  where asset = %(asset)s and pulled_at is not null"
        "  and partition_date between %(first)s and %(last)s for update),"
        " moved as (update control.slices as s set status = 'not_kept', pulled_at = null"
        "  from before where s.asset = %(asset)s and s.account_id = before.account_id"
        "  and s.partition_date = before.partition_date)"
        " select coalesce(jsonb_agg(to_jsonb(before)), '[]') as kept from before",
        {"asset": HOURS, "first": month, "last": _last(month)},
    ).fetchone()
    assert slices is not None
    connection.execute(
        "insert into control.archived_hours (month, file, sha256, bytes, row_count, slices)"
        " values (%s, %s, %s, %s, %s, %s) on conflict (month) do update set"
        " file = excluded.file, sha256 = excluded.sha256, bytes = excluded.bytes,"
        " row_count = excluded.row_count, slices = excluded.slices, archived_at = now(),"
        " restored_at = null, marts_built_at = null",
        [
            month,
            path.name,
            parquet.digest(path),
            path.stat().st_size,
            rows,
            json.dumps(slices["kept"]),
        ],
    )


def _check_file(connection: Connection, month: date, path: Path) -> None:
    if not path.exists():
        raise ArchiveError(f"{path} is not there: bring it back from where it was copied to")
    row = connection.execute(
        "select sha256 from control.archived_hours where month = %s", [month]
    ).fetchone()
    assert row is not None
    if parquet.digest(path) != row["sha256"]:
        raise ArchiveError(f"{path} is not the file that was written: use a copy of that")


def _partition(month: date) -> sql.Identifier:
    return sql.Identifier("partitions", f"raw_{HOURS}_{month:%Y%m}")


def _keep_name(folder: Path) -> None:
    """Have the disk keep the file's name, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last(month: date) -> date:
    """The month's last date."""
    return months_before(month, -1) - timedelta(days=1)
