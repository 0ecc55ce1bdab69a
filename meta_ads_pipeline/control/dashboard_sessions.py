"""Sessions of the dashboard: begun with an API key, found by their cookie, ended."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from meta_ads_pipeline.control.api_keys import ApiKey, key_with_id
from meta_ads_pipeline.control.database import Connection, Database

IDLE = timedelta(hours=12)
"""So long a session lasts after its last use,"""

LONGEST = timedelta(days=7)
"""and so long after its beginning."""

_NOTED_AFTER = timedelta(minutes=1)


def begin_session(database: Database, key_id: str) -> str:
    """A new session of whoever has this key; returns the text of the cookie, which is not kept."""
    token = secrets.token_urlsafe(32)
    with database.connect() as connection:
        connection.execute("delete from control.dashboard_sessions where expires_at <= now()")
        connection.execute(
            "insert into control.dashboard_sessions (token_hash, key_id, expires_at)"
            " values (%s, %s, now() + %s)",
            [_hash(token), key_id, IDLE],
        )
    return token


def key_of_session(database: Database, token: str) -> ApiKey | None:
    """The key that the session was begun with, if both can still be used; notes the use."""

    def find(connection: Connection) -> ApiKey | None:
        row: dict[str, Any] | None = connection.execute(
            "select key_id::text as key_id from control.dashboard_sessions"
            " where token_hash = %s and expires_at > now()",
            [_hash(token)],
        ).fetchone()
        if row is None:
            return None
        connection.execute(
            "update control.dashboard_sessions"
            " set expires_at = least(now() + %(idle)s, created_at + %(longest)s)"
            " where token_hash = %(hash)s and expires_at < now() + %(idle)s - %(noted)s"
            " and expires_at < created_at + %(longest)s",
            {"idle": IDLE, "longest": LONGEST, "noted": _NOTED_AFTER, "hash": _hash(token)},
        )
        return key_with_id(connection, row["key_id"])

    return database.run(find)


def end_session(database: Database, token: str) -> None:
    """Sign out; again does nothing."""
    with database.connect() as connection:
        connection.execute(
            "delete from control.dashboard_sessions where token_hash = %s", [_hash(token)]
        )


def form_token(token: str) -> str:
    """What forms of the session carry, so that other sites cannot send them: not the cookie."""
    return hashlib.sha256(b"form of " + token.encode()).hexdigest()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
