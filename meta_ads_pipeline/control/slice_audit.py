"""What was done to a slice since it was pulled: rows landed from dead letters, and the audit."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime

from meta_ads_pipeline import __version__
from meta_ads_pipeline.control.database import Connection
from meta_ads_pipeline.control.slices import SliceCounts, SliceKey
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

REPLAY = "replay"
"""The ``run_id`` of loads that landed dead letters: they fetched nothing."""


def last_loads(
    connection: Connection, key: SliceKey, dates: Collection[date] | None = None
) -> dict[date, datetime]:
    """When each slice was last replaced from a pull, by the database's clock; None: all dates."""
    rows = connection.execute(
        "select partition_date, max(loaded_at) as loaded_at from control.slice_loads"
        " where account_id = %(account)s and asset = %(asset)s"
        " and (%(dates)s::date[] is null or partition_date = any(%(dates)s))"
        " and run_id is distinct from %(replay)s group by 1",
        {
            "account": key.account_id,
            "asset": key.asset,
            "dates": None if dates is None else list(dates),
            "replay": REPLAY,
        },
    ).fetchall()
    return {row["partition_date"]: row["loaded_at"] for row in rows}


def failures_in_a_row(
    connection: Connection, key: SliceKey, dates: Collection[date], kind: str, *, ended_by: str
) -> dict[date, int]:
    """How often each slice failed so since a pull replaced it or it failed as ``ended_by``.

    Failures of other kinds in between neither count nor end the row. Dates without any are absent.
    """
    rows = connection.execute(
        sql("failures_in_a_row"),
        {
            "account": key.account_id,
            "asset": key.asset,
            "dates": list(dates),
            "kind": kind,
            "ended_by": ended_by,
            "replay": REPLAY,
        },
    ).fetchall()
    return {row["partition_date"]: row["failures"] for row in rows}


def amend(connection: Connection, key: SliceKey, day: date, counts: SliceCounts) -> None:
    """Record rows that were landed into a slice from dead letters; the others are untouched.

    ``dead_lettered`` is how many dead letters that was. Nothing happens to a slice never loaded.
    """
    parameters = {
        "account": key.account_id,
        "day": day,
        "asset": key.asset,
        "inserted": counts.inserted,
        "updated": counts.updated,
        "unchanged": counts.unchanged,
        "letters": counts.dead_lettered,
        "replay": REPLAY,
        "version": __version__,
    }
    connection.execute(
        sql("amend_slices"),
        parameters,
    )
