"""Replay dead letters of ad accounts, campaigns, ad sets, ads and creatives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from meta_ads_pipeline.control import slice_audit
from meta_ads_pipeline.control.accounts import DEFAULT_WORKSPACE_ID
from meta_ads_pipeline.control.database import Connection
from meta_ads_pipeline.control.dead_letters import StoredDeadLetter
from meta_ads_pipeline.control.slices import SliceCounts, SliceKey
from meta_ads_pipeline.raw.entities import EntityRow, EntityTable, normalize_entities
from meta_ads_pipeline.raw.entities_load import EntityPull, load_entities
from meta_ads_pipeline.raw.load import lock_loads
from meta_ads_pipeline.raw.pull_accounts import land_account

Letters: TypeAlias = Sequence[tuple[StoredDeadLetter, Any]]
Outcomes: TypeAlias = tuple[dict[int, str], dict[int, str]]
"""What landed and what is still bad: letter id -> words."""


def is_only_an_id(document: Any) -> bool:
    """Whether the letter is of an object that could not be read: there is nothing but its id."""
    return isinstance(document, dict) and set(document) == {"id"}


def only_another_sync(letter: StoredDeadLetter) -> str:
    """What a replay says of such a letter: the reason, once, and what to do."""
    advice = "Only another sync can read it"
    if letter.partition_date is not None:
        day = letter.partition_date
        advice += (
            f": `meta-ads sync --start {day} --end {day} --account {letter.account_id}`, "
            "once Meta lets the token read it"
        )
    return letter.reason if advice in letter.reason else f"{letter.reason}. {advice}"


def replay_entities(
    connection: Connection, table: EntityTable, account_id: str, letters: Letters
) -> Outcomes:
    """Land the documents that today's code accepts, in the caller's transaction."""
    lock_loads(connection, table.asset, account_id)
    key = SliceKey(account_id, table.asset)
    last_load = max(slice_audit.last_loads(connection, key).values(), default=None)
    landed: dict[int, str] = {}
    bad: dict[int, str] = {}
    for letter, document in letters:
        if is_only_an_id(document):
            bad[letter.dead_letter_id] = only_another_sync(letter)
            continue
        rows, problems = normalize_entities([document], table, account_id)
        if problems:
            bad[letter.dead_letter_id] = problems[0].reason
            continue
        is_newer = last_load is not None and last_load > letter.last_seen_at
        if is_newer and _is_known(connection, table, rows[0].id):
            landed[letter.dead_letter_id] = "a later pull has landed it"
            continue
        landed[letter.dead_letter_id] = f"landed in {table.name}"
        counts = _land(connection, table, account_id, rows, letter.last_seen_at)
        if letter.partition_date is not None:
            slice_audit.amend(connection, key, letter.partition_date, counts)
    return landed, bad


def replay_account(connection: Connection, letters: Letters) -> Outcomes:
    """Land ad account documents that today's code accepts, in the caller's transaction."""
    landed: dict[int, str] = {}
    bad: dict[int, str] = {}
    for letter, document in letters:
        workspace = connection.execute(
            "select workspace_id::text as id from control.ad_accounts where account_id = %s",
            [letter.account_id],
        ).fetchone()
        reason = (
            land_account(
                connection,
                document,
                workspace["id"] if workspace else DEFAULT_WORKSPACE_ID,
                datetime.now(UTC),
            )
            if isinstance(document, dict)
            else "expected a JSON object"
        )
        if reason is None:
            landed[letter.dead_letter_id] = "landed in raw.ad_accounts"
        else:
            bad[letter.dead_letter_id] = reason
    return landed, bad


def _land(
    connection: Connection,
    table: EntityTable,
    account_id: str,
    rows: Sequence[EntityRow],
    seen_at: datetime,
) -> SliceCounts:
    counts = load_entities(
        connection, table, account_id, EntityPull(rows, [], [], seen_at, is_complete=False)
    )
    return SliceCounts(
        inserted=counts.inserted,
        updated=counts.updated,
        unchanged=counts.unchanged,
        dead_lettered=1,
    )


def _is_known(connection: Connection, table: EntityTable, entity_id: str) -> bool:
    query = f"select from {table.name} where id = %s"
    return connection.execute(query, [entity_id]).fetchone() is not None
