"""Dead letters: what could not be used, whole, with the reason, until somebody decides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

import psycopg

Connection: TypeAlias = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class DeadLetter:
    """One row or object. ``document`` is JSON text without secrets, as Postgres accepts it."""

    account_id: str
    asset: str
    reason: str
    document: str
    partition_date: date | None = None
    object_id: str | None = None
    field: str | None = None
    source_call: str | None = None

    @property
    def fingerprint(self) -> str:
        """The same for the same thing, met again: then the first letter counts another attempt."""
        identity = (
            self.account_id,
            self.asset,
            str(self.partition_date),
            str(self.object_id),
            str(self.field),
            self.document,
        )
        return hashlib.sha256("\x1f".join(identity).encode()).hexdigest()


def record(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep the letters. One seen before is counted again, and reopened if it had been replayed."""
    distinct = {letter.fingerprint: letter for letter in letters}
    if not distinct:
        return
    connection.cursor().executemany(
        "insert into control.dead_letters as d (fingerprint, account_id, asset, partition_date,"
        "   object_id, field, reason, document, source_call)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (fingerprint) do update set"
        "   attempts = d.attempts + 1, last_seen_at = now(), reason = excluded.reason,"
        "   status = case d.status when 'replayed' then 'open' else d.status end",
        [
            (
                fingerprint,
                letter.account_id,
                letter.asset,
                letter.partition_date,
                letter.object_id,
                letter.field,
                letter.reason,
                letter.document,
                letter.source_call,
            )
            for fingerprint, letter in distinct.items()
        ],
    )
