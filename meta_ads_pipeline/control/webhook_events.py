"""Webhook events: changes that Meta announced, each stored once until its object is read again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

FIRST_DELAY = timedelta(seconds=30)
"""Before the second attempt to read an announced object; doubled at each further one."""
LONGEST_DELAY = timedelta(hours=1)
MOST_ATTEMPTS = 8
"""The next regular read of the lists covers what is given up here."""


@dataclass(frozen=True)
class WebhookEvent:
    """One change as Meta sent it. ``account_id`` is without ``act_``; ``sent_at`` is UTC.

    ``value`` is JSON text that Postgres accepts.

    ``object_level`` and ``object_id`` name what is to be read again; both None: nothing is, and the
    event is kept as data.
    """

    fingerprint: str
    topic: str
    account_id: str | None
    field: str | None
    object_level: str | None
    object_id: str | None
    value: str
    sent_at: datetime | None
    reason: str | None = None

    @property
    def is_actionable(self) -> bool:
        """Whether an object can be read again because of it."""
        return self.object_id is not None


@dataclass(frozen=True)
class AnnouncedObject:
    """An object that pending events announce as changed. ``level`` None: the event named none."""

    account_id: str
    level: str | None
    object_id: str
    event_ids: tuple[int, ...]
    first_received_at: datetime


@dataclass(frozen=True)
class StoredEvent:
    """An event as ``control.webhook_events`` has it; instants are UTC."""

    webhook_event_id: int
    topic: str
    account_id: str | None
    field: str | None
    object_level: str | None
    object_id: str | None
    value: Any
    sent_at: datetime | None
    first_received_at: datetime
    deliveries: int
    status: str
    reason: str | None
    attempts: int


def store(database: Database, events: Sequence[WebhookEvent], *, body_bytes: int) -> int:
    """Keep the events of one delivery in one transaction; returns how many were not known before.

    ``body_bytes`` is the size of the request. An event delivered again counts another delivery.
    """
    distinct = {event.fingerprint: event for event in events}
    repeats = dict.fromkeys(distinct, 0)
    for event in events:
        repeats[event.fingerprint] += 1
    # In one order for all: two deliveries of the same events never wait for each other in a circle.
    ordered = [distinct[key] for key in sorted(distinct)]

    def work(connection: Connection) -> int:
        rows = connection.execute(
            sql("record_webhook_events"),
            {
                "fingerprint": [event.fingerprint for event in ordered],
                "topic": [event.topic for event in ordered],
                "account_id": [event.account_id for event in ordered],
                "field": [event.field for event in ordered],
                "object_level": [event.object_level for event in ordered],
                "object_id": [event.object_id for event in ordered],
                "value": [event.value for event in ordered],
                "sent_at": [event.sent_at for event in ordered],
                "deliveries": [repeats[event.fingerprint] for event in ordered],
                "status": ["pending" if event.is_actionable else "kept" for event in ordered],
                "reason": [event.reason for event in ordered],
            },
        ).fetchall()
        new = sum(bool(row["is_new"]) for row in rows)
        _count(connection, "accepted", len(events), new, body_bytes)
        return new

    return database.run(work)


def count_refused(database: Database, outcome: str, *, body_bytes: int) -> None:
    """Note a request that was refused, with why; its body is not kept."""
    database.run(lambda connection: _count(connection, outcome, 0, 0, body_bytes))


def _count(connection: Connection, outcome: str, changes: int, new: int, size: int) -> None:
    connection.execute(
        sql("count_webhook_request"),
        {"outcome": outcome, "changes": changes, "new": new, "size": size},
    )


def last_accepted(database: Database) -> datetime | None:
    """When a delivery was last accepted, to the minute (UTC); None where none ever was."""
    row = database.run(
        lambda connection: connection.execute(
            "select max(minute) as last from control.webhook_requests where outcome = 'accepted'"
        ).fetchone()
    )
    return None if row is None else row["last"]


def due_objects(
    database: Database, accounts: Collection[str], now: datetime, *, limit: int
) -> list[AnnouncedObject]:
    """Announced objects of these accounts that are due to be read, the longest waiting first."""
    rows = database.run(
        lambda connection: connection.execute(
            sql("due_objects"),
            {"now": now, "accounts": list(accounts), "limit": limit},
        ).fetchall()
    )
    return [AnnouncedObject(**{**row, "event_ids": tuple(row["event_ids"])}) for row in rows]


def finish(database: Database, event_ids: Collection[int], now: datetime) -> None:
    """The objects of these events were read after they had been received."""
    database.run(
        lambda connection: connection.execute(
            "update control.webhook_events set status = 'done', finished_at = %s, reason = null,"
            " attempts = attempts + 1 where webhook_event_id = any(%s) and status = 'pending'",
            [now, list(event_ids)],
        )
    )


def last_finished(database: Database) -> str | None:
    """A text that is another one as soon as another event is done; None before the first."""
    row = database.run(
        lambda connection: connection.execute(
            "select finished_at, webhook_event_id from control.webhook_events"
            " where status = 'done' order by finished_at desc, webhook_event_id desc limit 1"
        ).fetchone()
    )
    return None if row is None else f"{row['finished_at'].isoformat()}/{row['webhook_event_id']}"


def fail(database: Database, event_ids: Collection[int], reason: str, now: datetime) -> None:
    """The objects of these events could not be read: try later, or give up after the last time."""
    database.run(
        lambda connection: connection.execute(
            sql("fail_webhook_events"),
            {
                "reason": reason,
                "most": MOST_ATTEMPTS,
                "now": now,
                "first": FIRST_DELAY,
                "longest": LONGEST_DELAY,
                "ids": list(event_ids),
            },
        )
    )


def replay(database: Database, event_ids: Collection[int] = ()) -> int:
    """Have the objects of these events read again, of all failed ones by default; how many."""
    return database.run(
        lambda connection: (
            connection.execute(
                "update control.webhook_events set status = 'pending', attempts = 0, reason = null,"
                " finished_at = null, next_attempt_at = now() where object_id is not null and"
                " case when %(ids)s::bigint[] = '{}' then status = 'failed'"
                " else webhook_event_id = any(%(ids)s) end",
                {"ids": list(event_ids)},
            ).rowcount
        )
    )


def recent(database: Database, *, status: str | None = None, limit: int = 50) -> list[StoredEvent]:
    """The latest events, of one status where it is given."""
    columns = ", ".join(StoredEvent.__dataclass_fields__)
    rows = database.run(
        lambda connection: connection.execute(
            f"select {columns} from control.webhook_events"
            " where %(status)s::text is null or status = %(status)s"
            " order by webhook_event_id desc limit %(limit)s",
            {"status": status, "limit": limit},
        ).fetchall()
    )
    return [StoredEvent(**row) for row in rows]
