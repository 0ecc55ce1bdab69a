"""Dead letters: what could not be used, whole, with the reason, until somebody decides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.errors import NotFoundError
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)


class DeadLetterStatus(StrEnum):
    """``open`` until a replay landed it, a later pull had it in order, or somebody discarded it."""

    OPEN = "open"
    RESOLVED = "resolved"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True)
class DeadLetter:
    """One row or object. ``document`` is JSON text without secrets, as Postgres accepts it.

    ``key`` tells items of one object and date apart, such as an ad's hours. ``is_dated`` is whether
    the same object on another date is another item. ``timezone`` and ``currency`` are the
    account's at the pull, for rows that mean nothing without them. ``workspace_id`` is that of
    what came in over HTTP; of the rest it is the ad account's.
    """

    account_id: str
    asset: str
    reason: str
    document: str
    partition_date: date | None = None
    object_id: str | None = None
    field: str | None = None
    source_call: str | None = None
    key: str | None = None
    is_dated: bool = True
    timezone: str | None = None
    currency: str | None = None
    workspace_id: str | None = None

    @property
    def fingerprint(self) -> str:
        """The same for one object and field at fault, met again, whatever else has changed."""
        identity = (
            self.account_id,
            self.asset,
            str(self.partition_date if self.is_dated else None),
            str(self.object_id),
            str(self.key),
            str(self.field),
            self.document if self.object_id is None else "",
            *([self.workspace_id] if self.workspace_id is not None else []),
        )
        return hashlib.sha256("\x1f".join(identity).encode()).hexdigest()


@dataclass(frozen=True)
class StoredDeadLetter:
    """A dead letter as ``control.dead_letters`` has it.

    Instants are UTC; ``document`` is JSON text. ``attempts`` counts how often it could not
    be used: pulls and replays.
    """

    dead_letter_id: int
    account_id: str
    asset: str
    partition_date: date | None
    object_id: str | None
    field: str | None
    reason: str
    document: str
    source_call: str | None
    status: DeadLetterStatus
    attempts: int
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    timezone: str | None = None
    currency: str | None = None
    workspace_id: str | None = None


class DeadLetterNotFoundError(NotFoundError):
    """There is no such dead letter; the message says where to look."""


def record(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep the dead letters. One seen before counts an attempt and has the newest document.

    It is reopened unless somebody discarded it.
    """
    distinct = {letter.fingerprint: letter for letter in letters}
    if not distinct:
        return
    connection.cursor().executemany(
        sql("record_dead_letter"),
        [{**vars(letter), "fingerprint": fingerprint} for fingerprint, letter in distinct.items()],
    )


def resolve_by_pull(
    connection: Connection,
    account_id: str,
    asset: str,
    met_again: Sequence[DeadLetter],
    *,
    dates: Sequence[date] | None = None,
    object_ids: Sequence[str] | None = None,
    fields: Sequence[str] | None = None,
) -> int:
    """Close what a good pull has shown to be over: all that is open but ``met_again``.

    Of these dates, objects and fields only, where given. Returns how many were closed.
    """
    return connection.execute(
        sql("resolve_dead_letters_by_pull"),
        {
            "account": account_id,
            "asset": asset,
            "again": [letter.fingerprint for letter in met_again],
            "dates": None if dates is None else list(dates),
            "ids": None if object_ids is None else list(object_ids),
            "fields": None if fields is None else list(fields),
        },
    ).rowcount


_COLUMNS = ", ".join(
    f"{name}::text as {name}" if name in ("document", "workspace_id") else name
    for name in StoredDeadLetter.__dataclass_fields__
)
"""The document as text: numbers keep their digits."""


def find(
    connection: Connection,
    *,
    ids: Sequence[int] = (),
    accounts: Sequence[str] = (),
    assets: Sequence[str] = (),
    status: DeadLetterStatus | None = None,
    limit: int | None = None,
    lock: bool = False,
) -> list[StoredDeadLetter]:
    """Dead letters that meet every condition given, the latest seen first.

    ``accounts`` are ids without ``act_``. ``lock`` keeps others from resolving them until the
    transaction ends.
    """
    rows = connection.execute(
        sql("find_dead_letters", columns=_COLUMNS, lock="for update" if lock else ""),
        {
            "ids": list(ids),
            "accounts": list(accounts),
            "assets": list(assets),
            "status": status,
            "limit": limit,
        },
    ).fetchall()
    return [StoredDeadLetter(**{**row, "status": DeadLetterStatus(row["status"])}) for row in rows]


def get(connection: Connection, dead_letter_id: int) -> StoredDeadLetter:
    """One dead letter. Raises ``DeadLetterNotFoundError``."""
    letters = find(connection, ids=[dead_letter_id])
    if not letters:
        raise DeadLetterNotFoundError(
            f"there is no dead letter {dead_letter_id}: `meta-ads dead-letters list` shows them"
        )
    return letters[0]


def resolve(
    connection: Connection, ids: Sequence[int], status: DeadLetterStatus, resolution: str
) -> int:
    """Close open dead letters as replayed or discarded, with how it ended; returns how many."""
    return connection.execute(
        "update control.dead_letters set status = %s, resolution = %s, resolved_at = now()"
        " where dead_letter_id = any(%s) and status = 'open'",
        [status, resolution, list(ids)],
    ).rowcount


def count_failed_replay(connection: Connection, reasons: Mapping[int, str]) -> None:
    """Keep dead letters open whose replay failed: one attempt more, and the reason of today."""
    connection.execute(
        "update control.dead_letters as d set attempts = attempts + 1, reason = r.reason"
        " from unnest(%s::bigint[], %s::text[]) as r (id, reason) where d.dead_letter_id = r.id",
        [list(reasons), list(reasons.values())],
    )


def discard(database: Database, ids: Sequence[int], reason: str) -> list[int]:
    """Close open dead letters without using them; returns the ids that were open.

    Raises ``DeadLetterNotFoundError`` for an id that does not exist.
    """
    with database.connect() as connection:
        for dead_letter_id in ids:
            get(connection, dead_letter_id)
        found = find(connection, ids=ids, status=DeadLetterStatus.OPEN, lock=True) if ids else []
        still_open = [letter.dead_letter_id for letter in found]
        resolve(connection, still_open, DeadLetterStatus.DISCARDED, reason)
    return sorted(still_open)
