"""Replay dead letters: what could not be used goes through today's code, and lands where it can.

Its document is normalized and validated again; good rows are added to their slice, whose
other rows stay as they are. What is still bad stays open with one attempt more and today's reason.
A slice that was pulled again after it was last seen is newer, and wins.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd

from meta_ads_pipeline.control import dead_letters, slice_audit, slices
from meta_ads_pipeline.control.accounts import Account, UnknownAccountError, active_accounts
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.dead_letters import DeadLetterStatus, StoredDeadLetter
from meta_ads_pipeline.control.slices import SliceCounts, SliceKey
from meta_ads_pipeline.insights_tables import ALL_INSIGHTS_TABLES, REACH_PERIODS, InsightsTable
from meta_ads_pipeline.raw import load_sql
from meta_ads_pipeline.raw.dead_letters import LEFT_OUT_FIELD
from meta_ads_pipeline.raw.entities import ENTITY_TABLES
from meta_ads_pipeline.raw.ingest import INGEST_ASSET, land_facts
from meta_ads_pipeline.raw.load import copy_incoming, lock_loads
from meta_ads_pipeline.raw.normalize import normalize
from meta_ads_pipeline.raw.replay_entities import (
    is_only_an_id,
    only_another_sync,
    replay_account,
    replay_entities,
)
from meta_ads_pipeline.raw.schemas import validate
from meta_ads_pipeline.settings import get_settings


@dataclass(frozen=True)
class Replay:
    """How a dead letter's replay ended. ``partition_date``: the date of the slice it landed in."""

    dead_letter_id: int
    account_id: str
    asset: str
    partition_date: date | None
    landed: bool
    outcome: str


@dataclass(frozen=True)
class _Row:
    """A row of a dead letter that today's code accepts, at its place in the frame."""

    letter: StoredDeadLetter
    position: int


def replay(database: Database, ids: Sequence[int], *, api_version: str) -> list[Replay]:
    """Replay the open dead letters among ``ids``; one result for each, by id.

    ``api_version`` is what rows of a slice that holds no other row are marked with. Raises
    ``DeadLetterNotFoundError`` for an id that does not exist, ``psycopg.Error`` from the database:
    then what was landed before it stays.
    """
    with database.connect() as connection:
        letters = [dead_letters.get(connection, dead_letter_id) for dead_letter_id in ids]
    groups: dict[tuple[str, str], list[StoredDeadLetter]] = defaultdict(list)
    for letter in sorted(letters, key=lambda letter: letter.last_seen_at):
        if letter.status is DeadLetterStatus.OPEN:
            groups[letter.account_id, letter.asset].append(letter)
    results: list[Replay] = []
    for (account_id, asset), group in groups.items():
        if asset == INGEST_ASSET:
            results += _replay_posted(database, group)
        elif asset in ALL_INSIGHTS_TABLES:
            table = ALL_INSIGHTS_TABLES[asset]
            results += _replay_insights(database, account_id, table, group, api_version)
        else:
            results += _replay_other(database, account_id, asset, group)
    return sorted(results, key=lambda result: result.dead_letter_id)


def parsed(letter: StoredDeadLetter) -> Any:
    """Its document; fractions are ``Decimal``."""
    return json.loads(letter.document, parse_float=Decimal)


def _replay_posted(database: Database, letters: Sequence[StoredDeadLetter]) -> list[Replay]:
    """Facts that came in over HTTP, each workspace's in a transaction."""
    first_date = date.fromisoformat(get_settings().history_start)
    by_workspace: dict[str, list[StoredDeadLetter]] = defaultdict(list)
    for letter in letters:
        by_workspace[str(letter.workspace_id)].append(letter)
    replays = []
    for workspace_id, group in by_workspace.items():
        with database.connect() as connection:
            results = land_facts(
                connection,
                workspace_id,
                [parsed(each) for each in group],
                first_date=first_date,
                source_call="replay",
                keep_rejected=False,
            )
            landed, bad = {}, {}
            for letter, result in zip(group, results, strict=True):
                if result.reason is None:
                    landed[letter.dead_letter_id] = f"{result.status}: {result.natural_key}"
                else:
                    bad[letter.dead_letter_id] = result.reason
            replays += _close(connection, group, landed, bad)
    return replays


def _replay_other(
    database: Database, account_id: str, asset: str, letters: Sequence[StoredDeadLetter]
) -> list[Replay]:
    tables = {table.asset: table for table in ENTITY_TABLES.values()}
    with database.connect() as connection:
        if asset in tables:
            landed, bad = replay_entities(
                connection, tables[asset], account_id, [(each, parsed(each)) for each in letters]
            )
        elif asset == "ad_accounts":
            landed, bad = replay_account(connection, [(each, parsed(each)) for each in letters])
        else:
            bad = {each.dead_letter_id: f"{each.reason} (not replayable)" for each in letters}
            landed = {}
        return _close(connection, letters, landed, bad)


def _replay_insights(
    database: Database,
    account_id: str,
    table: InsightsTable,
    letters: Sequence[StoredDeadLetter],
    api_version: str,
) -> list[Replay]:
    try:
        (account,) = active_accounts(database, only=[account_id])
    except UnknownAccountError as error:
        unknown = {letter.dead_letter_id: str(error) for letter in letters}
        with database.connect() as connection:
            return _close(connection, letters, {}, unknown)
    pulled_under: dict[Account, list[StoredDeadLetter]] = defaultdict(list)
    left_out = {
        letter.dead_letter_id: only_another_sync(letter)
        for letter in letters
        if letter.field == LEFT_OUT_FIELD and is_only_an_id(parsed(letter))
    }
    for letter in letters:
        if letter.dead_letter_id in left_out:
            continue
        # As they were at the pull; older ones have today's.
        own = replace(
            account,
            timezone=letter.timezone or account.timezone,
            currency=letter.currency or account.currency,
        )
        pulled_under[own].append(letter)
    with database.connect() as connection:
        refused = [each for each in letters if each.dead_letter_id in left_out]
        results = _close(connection, refused, {}, left_out)
    for own, group in pulled_under.items():
        results += _replay_rows(database, own, table, group, api_version)
    return results


def _replay_rows(
    database: Database,
    account: Account,
    table: InsightsTable,
    letters: Sequence[StoredDeadLetter],
    api_version: str,
) -> list[Replay]:
    account_id = account.account_id
    normalized = normalize([parsed(letter) for letter in letters], table, account.timezone)
    days = {day for day in normalized.frame["event_date"] if day is not None}
    valid = validate(normalized, table, account_id, days or {date.min})
    bad = {letters[each.position].dead_letter_id: each.reason for each in valid.bad}
    by_day: dict[date, list[_Row]] = defaultdict(list)
    for position, letter in enumerate(letters):
        if letter.dead_letter_id not in bad:
            by_day[normalized.frame["event_date"][position]].append(_Row(letter, position))
    with database.connect() as connection:
        still_bad = [letter for letter in letters if letter.dead_letter_id in bad]
        results = _close(connection, still_bad, {}, bad)
    for day, rows in sorted(by_day.items()):
        with database.connect() as connection:
            results += _land(connection, account, table, day, rows, valid.frame, api_version)
    return results


def _land(
    connection: Connection,
    account: Account,
    table: InsightsTable,
    day: date,
    rows: Sequence[_Row],
    frame: pd.DataFrame,
    api_version: str,
) -> list[Replay]:
    """Add rows of a day to its slice and close their dead letters, in the caller's transaction."""
    key = SliceKey(account.account_id, table.asset)
    lock_loads(connection, table.asset, account.account_id)
    ids = [row.letter.dead_letter_id for row in rows]
    still_open = {
        letter.dead_letter_id
        for letter in dead_letters.find(
            connection, ids=ids, status=DeadLetterStatus.OPEN, lock=True
        )
    }
    rows = [row for row in rows if row.letter.dead_letter_id in still_open]
    letters = [row.letter for row in rows]
    pulled_at = slices.loaded_at(connection, key, [day]).get(day)
    loaded_at = slice_audit.last_loads(connection, key, [day]).get(day)
    bad: dict[int, str] = {}
    for letter in letters:
        if pulled_at is None or loaded_at is None:
            bad[letter.dead_letter_id] = (
                f"the slice of {day} was never loaded: "
                f"`meta-ads sync --start {day} --end {day} --account {account.account_id}` loads it"
            )
        elif loaded_at > letter.last_seen_at:
            bad[letter.dead_letter_id] = (
                f"the slice was pulled again at {loaded_at:%Y-%m-%d %H:%M} UTC and this row was "
                "not in that pull: it is out of date, discard it"
            )
    fresh = [row for row in rows if row.letter.dead_letter_id not in bad]
    if not fresh or pulled_at is None:
        return _close(connection, letters, {}, bad)
    # A copy of another letter's row is not in the frame: it lands with it.
    positions = [row.position for row in fresh if row.position in frame.index]
    parameters = _parameters(connection, account, table, day, pulled_at, api_version)
    copy_incoming(connection, table, frame.loc[positions])
    connection.execute(load_sql.statement("difference_of_rows", table), parameters)
    keys = {
        tuple(row.values()) for row in connection.execute(load_sql.conflicting(table)).fetchall()
    }
    connection.execute(load_sql.keep_new_only())
    inserted = sum(row["rows"] for row in connection.execute(load_sql.count_difference()))
    if not table.has_periods:
        connection.execute(
            load_sql.statement("record_changes", table),
            {**parameters, "pulled_at": datetime.now(UTC)},
        )
    connection.execute(load_sql.statement("insert_new_rows", table), parameters)
    landed: dict[int, str] = {}
    for row in fresh:
        if _key_of(frame, row.position, table) in keys:
            bad[row.letter.dead_letter_id] = (
                "row: the slice holds a row of the same key with other values; discard this one if "
                "that one is right"
            )
        else:
            landed[row.letter.dead_letter_id] = f"landed in {table.name} on {day}"
    counts = SliceCounts(
        inserted=inserted, unchanged=len(landed) - inserted, dead_lettered=len(landed)
    )
    if landed:
        slice_audit.amend(connection, key, day, counts)
    return _close(connection, letters, landed, bad, day)


def _parameters(
    connection: Connection,
    account: Account,
    table: InsightsTable,
    day: date,
    pulled_at: datetime,
    api_version: str,
) -> dict[str, Any]:
    """The slice's own, so that a replayed row is as if it had been good at once."""
    neighbour = connection.execute(
        f"select api_version from {table.name} where account_id = %s and event_date = %s limit 1",
        [account.account_id, day],
    ).fetchone()
    return {
        "account": account.account_id,
        "dates": [day],
        "timezone": account.timezone,
        "currency": account.currency,
        "api_version": neighbour["api_version"] if neighbour else api_version,
        "pulled_at": pulled_at,
        "asset": table.asset,
        "loaded_dates": [day],
        "loaded_at": [pulled_at],
        "period_ends": [day] * len(REACH_PERIODS),
        "periods": list(REACH_PERIODS),
    }


def _key_of(frame: pd.DataFrame, position: int, table: InsightsTable) -> tuple[Any, ...] | None:
    if position not in frame.index:
        return None
    return tuple(frame.loc[position, name] for name in table.key)


def _close(
    connection: Connection,
    letters: Sequence[StoredDeadLetter],
    landed: dict[int, str],
    bad: dict[int, str],
    day: date | None = None,
) -> list[Replay]:
    """Close what landed, count an attempt for the rest, and tell both."""
    for dead_letter_id, outcome in landed.items():
        dead_letters.resolve(connection, [dead_letter_id], DeadLetterStatus.REPLAYED, outcome)
    dead_letters.count_failed_replay(connection, bad)
    return [
        Replay(
            letter.dead_letter_id,
            letter.account_id,
            letter.asset,
            day or letter.partition_date,
            letter.dead_letter_id in landed,
            landed.get(letter.dead_letter_id) or bad[letter.dead_letter_id],
        )
        for letter in letters
    ]
