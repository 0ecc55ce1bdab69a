"""Replace slices: one transaction that removes what vanished, changes what changed, counts both.

Many dates of one account go in together. Rows that are identical are not touched, so doing it
twice changes nothing; what a later pull changed goes to ``raw.insights_changes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import pandas as pd

from meta_ads_pipeline.control import dead_letters, slices
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.dead_letters import DeadLetter
from meta_ads_pipeline.control.slices import Attempt, SliceCounts, SliceKey
from meta_ads_pipeline.insights_tables import InsightsTable
from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN
from meta_ads_pipeline.meta_api.paging import LeftOut
from meta_ads_pipeline.raw import load_sql
from meta_ads_pipeline.raw.copy_text import copy_blocks
from meta_ads_pipeline.raw.dead_letters import (
    LEFT_OUT_FIELD,
    dead_letter,
    dead_letter_of_left_out,
)
from meta_ads_pipeline.raw.json_text import json_text
from meta_ads_pipeline.raw.normalize import normalize
from meta_ads_pipeline.raw.schemas import BadRow, validate

ANALYZE_FROM_ROWS = 20_000
"""After changes of this size Postgres's statistics would mislead its planner: refresh them."""

_ANALYZED = ("event_date", "account_id", "ad_id")


@dataclass(frozen=True)
class PulledRows:
    """The complete answer about some dates of one account. No row for a date: it had no activity.

    ``rows`` are as the API sent them (numbers as text or ``Decimal``), ``pulled_at`` is UTC.
    ``periods``, for a table that has them: what was asked for, by the date it ends with. Rows of
    other periods of these dates stay as they are. ``attribution_windows`` were asked for.
    ``left_out`` are objects for which Meta refused every row, ``missing`` pairs of an object and a
    column that could not be had for its rows: what is stored of them stays.
    """

    rows: Sequence[Any]
    dates: Sequence[date]
    api_version: str
    pulled_at: datetime
    api_calls: int = 0
    periods: Sequence[tuple[date, str]] = ()
    attribution_windows: Sequence[str] = ()
    left_out: Sequence[LeftOut] = ()
    missing: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class LoadedSlices:
    """What replacing each date's slice did, and its share of the calls."""

    counts: Mapping[date, SliceCounts]
    api_calls: Mapping[date, int]


def load_insights(
    database: Database, account: Account, table: InsightsTable, pulled: PulledRows, by: Attempt
) -> LoadedSlices:
    """Normalize, validate and land one answer; slice states and audit in the same transaction.

    Bad rows go to ``control.dead_letters`` and are missing from the slice. Raises
    ``ZoneInfoNotFoundError`` for an unknown timezone and ``psycopg.Error`` from the database;
    then nothing has changed. When the server goes away meanwhile, the landing is made again.
    """
    normalized = normalize(pulled.rows, table, account.timezone)
    valid = validate(normalized, table, account.account_id, pulled.dates)
    dates_of_rows = normalized.frame["event_date"]
    letters = [
        _dead_letter_of(account, table, pulled, dates_of_rows.get(bad.position), bad)
        for bad in valid.bad
    ]
    letters += [_dead_letter_of_left_out(account, table, pulled, each) for each in pulled.left_out]
    rejected = normalized.frame.loc[[bad.position for bad in valid.bad]]
    _ensure_partitions(database, table, pulled.dates)
    key = SliceKey(account.account_id, table.asset)

    def land(connection: Connection) -> LoadedSlices:
        # One loader at a time per account and table; held to the end of the transaction.
        lock_loads(connection, table.asset, account.account_id)
        loaded = slices.loaded_at(connection, key, pulled.dates)
        # A report may have been asked for before somebody else pulled: later rows stay.
        newer = [
            day for day in pulled.dates if loaded.get(day, pulled.pulled_at) > pulled.pulled_at
        ]
        fresh = replace(pulled, dates=[day for day in pulled.dates if day not in newer])
        frame = valid.frame[~valid.frame["event_date"].isin(newer)] if newer else valid.frame
        calls = shared_calls(pulled.api_calls, pulled.dates)
        changed, counts = {}, dict.fromkeys(newer, SliceCounts())
        if newer:
            slices.finish_with_newer(connection, key, newer, by)
        if fresh.dates:
            changed = _replace(connection, account, table, fresh, frame, rejected, loaded)
            counts |= _counts(fresh.dates, frame, changed, dates_of_rows, letters)
            dead_letters.record(connection, letters)
            # Of a table with periods a date's others may not have been asked for: only objects
            # that were left out and have come now.
            dead_letters.resolve_by_pull(
                *(connection, account.account_id, table.asset, letters),
                dates=fresh.dates,
                object_ids=list(frame["entity_id"].unique()) if table.has_periods else None,
                fields=[LEFT_OUT_FIELD] if table.has_periods else None,
            )
            slices.finish(
                connection,
                key,
                {day: counts[day] for day in fresh.dates},
                by,
                pulled_at=pulled.pulled_at,
                api_calls=calls,
                attribution_windows=pulled.attribution_windows,
            )
        return LoadedSlices(counts, calls)

    landed = database.run(land)
    if sum(count.changed for count in landed.counts.values()) >= ANALYZE_FROM_ROWS:
        _analyze(database, table)
    return landed


def lock_loads(connection: Connection, asset: str, account_id: str) -> None:
    """Wait for other loads of this asset and account; held until the transaction ends."""
    connection.execute(
        "select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"load:{asset}:{account_id}"]
    )


def copy_incoming(connection: Connection, table: InsightsTable, frame: pd.DataFrame) -> None:
    """Put the rows into a temporary table that ends with the transaction."""
    connection.execute(load_sql.create_incoming(table))
    with connection.cursor().copy(
        f"copy {load_sql.INCOMING} ({', '.join(table.columns)}) from stdin"
    ) as copy:
        for block in copy_blocks(frame, table.columns):
            copy.write(block)


def _keep_rejected(connection: Connection, table: InsightsTable, keys: pd.DataFrame) -> None:
    connection.execute(load_sql.create_rejected(table))
    with connection.cursor().copy(
        f"copy {load_sql.REJECTED} ({', '.join(table.key)}) from stdin"
    ) as copy:
        for block in copy_blocks(keys, table.key):
            copy.write(block)
    connection.execute(load_sql.statement("keep_rejected_rows", table))


def _replace(
    connection: Connection,
    account: Account,
    table: InsightsTable,
    pulled: PulledRows,
    frame: pd.DataFrame,
    rejected: pd.DataFrame,
    loaded: Mapping[date, datetime],
) -> dict[tuple[date, str], int]:
    """Make the slices hold exactly the frame; returns rows by (date, change).

    What is stored of ``rejected`` rows, told by what is known of their keys, stays as it is.
    """
    parameters: dict[str, Any] = {
        "account": account.account_id,
        "dates": list(pulled.dates),
        "timezone": account.timezone,
        "currency": account.currency,
        "api_version": pulled.api_version,
        "pulled_at": pulled.pulled_at,
        "asset": table.asset,
        "loaded_dates": list(loaded),
        "loaded_at": list(loaded.values()),
        "period_ends": [day for day, _ in pulled.periods],
        "periods": [period for _, period in pulled.periods],
        "left_out": [each.object_id for each in pulled.left_out],
        "missing_objects": [object_id for object_id, _ in pulled.missing],
        "missing_columns": [column for _, column in pulled.missing],
    }
    copy_incoming(connection, table, frame)
    held = connection.execute(load_sql.statement("slices_hold_rows", table), parameters).fetchone()
    assert held is not None
    if not held["held"] and not loaded:
        connection.execute(load_sql.statement("insert_first_rows", table), parameters)
        return {(day, "inserted"): rows for day, rows in _per_date(frame["event_date"]).items()}
    if pulled.missing:
        connection.execute(load_sql.statement("keep_missing_values", table), parameters)
    connection.execute(load_sql.statement("difference_of_rows", table), parameters)
    if len(rejected):
        _keep_rejected(connection, table, rejected)
    if pulled.left_out:
        connection.execute(load_sql.statement("keep_left_out_rows", table), parameters)
    changed = {
        (row["event_date"], row["change"]): row["rows"]
        for row in connection.execute(load_sql.count_difference()).fetchall()
    }
    changes = {change for _, change in changed}
    if changed and loaded and not table.has_periods:
        connection.execute(load_sql.statement("record_changes", table), parameters)
    if "deleted" in changes:
        connection.execute(load_sql.statement("delete_vanished_rows", table), parameters)
    if "updated" in changes:
        connection.execute(load_sql.statement("update_changed_rows", table), parameters)
    if "inserted" in changes:
        connection.execute(load_sql.statement("insert_new_rows", table), parameters)
    return changed


def _counts(
    dates: Sequence[date],
    frame: pd.DataFrame,
    changed: Mapping[tuple[date, str], int],
    dates_of_rows: pd.Series[Any],
    letters: Sequence[DeadLetter],
) -> dict[date, SliceCounts]:
    fetched, kept = _per_date(dates_of_rows), _per_date(frame["event_date"])
    dead = _per_date(pd.Series([letter.partition_date for letter in letters], dtype=object))
    counts = {}
    for day in dates:
        inserted, updated = changed.get((day, "inserted"), 0), changed.get((day, "updated"), 0)
        counts[day] = SliceCounts(
            fetched=fetched.get(day, 0),
            inserted=inserted,
            updated=updated,
            deleted=changed.get((day, "deleted"), 0),
            unchanged=kept.get(day, 0) - inserted - updated,
            dead_lettered=dead.get(day, 0),
        )
    return counts


def _dead_letter_of(
    account: Account, table: InsightsTable, pulled: PulledRows, day: date | None, bad: BadRow
) -> DeadLetter:
    row = pulled.rows[bad.position]
    first = min(pulled.dates)
    return dead_letter(
        account_id=account.account_id,
        asset=table.asset,
        reason=bad.reason,
        document=row,
        # A row without a usable date counts for the first date that was asked for.
        partition_date=day if day in pulled.dates else first,
        object_id=row.get(table.entity_column) if isinstance(row, dict) else None,
        key=_key_text(row) if isinstance(row, dict) else None,
        account=account,
        field=bad.field,
        source_call=_call_of(account, table, pulled),
    )


def _dead_letter_of_left_out(
    account: Account, table: InsightsTable, pulled: PulledRows, left: LeftOut
) -> DeadLetter:
    """One for the object, whatever dates lack its rows: the newest pull says which."""
    letter = dead_letter_of_left_out(
        left,
        account_id=account.account_id,
        asset=table.asset,
        source_call=_call_of(account, table, pulled),
    )
    return replace(letter, partition_date=max(pulled.dates), is_dated=False)


def _call_of(account: Account, table: InsightsTable, pulled: PulledRows) -> str:
    what = "reach" if table.has_periods else f"level={table.level} by {table.grain}"
    return f"act_{account.account_id}/insights {what} {min(pulled.dates)} to {max(pulled.dates)}"


def _key_text(row: dict[str, Any]) -> str:
    """What tells a row from the object's others of the date: the hour, level, period."""
    return json_text(
        [row.get(name) for name in ("date_start", HOURLY_BREAKDOWN, "level", "period")]
    )


def _per_date(dates: pd.Series[Any]) -> dict[date, int]:
    return {day: int(rows) for day, rows in dates.value_counts().items()}  # type: ignore[misc]


def shared_calls(calls: int, dates: Sequence[date]) -> dict[date, int]:
    """The calls of a pull, spread over its dates so that they sum to it."""
    each, rest = divmod(calls, len(dates))
    return {day: each + (place < rest) for place, day in enumerate(sorted(dates))}


def _ensure_partitions(database: Database, table: InsightsTable, dates: Sequence[date]) -> None:
    """Months of this table and of the facts made from it. Commits at once: it locks the parents."""
    if table.has_periods:
        return
    parents = [table.name] if table.is_partitioned else []

    def ensure(connection: Connection) -> None:
        for parent in (*parents, "marts.metric_facts"):
            connection.execute(
                "select control.ensure_month_partitions(%s::regclass, %s, %s)",
                [parent, min(dates), max(dates)],
            )

    database.run(ensure, autocommit=True)


def _analyze(database: Database, table: InsightsTable) -> None:
    columns = [name for name in _ANALYZED if name in (*table.columns, "account_id")]
    statement = f"analyze {table.name} ({', '.join(columns)})"
    database.run(lambda connection: connection.execute(statement), autocommit=True)
