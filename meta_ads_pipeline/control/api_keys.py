"""API keys of the HTTP service: made, found by what was sent, revoked. Only hashes are stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.timezones import WorkspaceNotFoundError
from meta_ads_pipeline.errors import ConfigurationError, NotFoundError

READ, INGEST, SYNC = "read", "ingest", "sync"

ROLES: Mapping[str, Sequence[str]] = {
    "viewer": (READ,),
    "operator": (READ, INGEST, SYNC),
    "admin": (READ, INGEST, SYNC),
}
"""What each role of a member may do. ``admin`` is the role of those who give out keys."""

SCOPES = (READ, INGEST, SYNC)
"""``read`` the marts, ``ingest`` facts of other providers, ``sync``: start and cancel runs."""

_MARK = "mak_"
_PREFIX_CHARACTERS = 8
_UNAMBIGUOUS = "abcdefghjkmnpqrstuvwxyz23456789"
_USE_IS_NOTED_AFTER = timedelta(minutes=1)


class ApiKeyError(ConfigurationError):
    """A key cannot be made as it was asked for."""


class ApiKeyNotFoundError(NotFoundError):
    """There is no key with that prefix."""


@dataclass(frozen=True)
class ApiKey:
    """A stored key; ``prefix`` is all that is known of its text. Times are UTC."""

    key_id: str
    workspace_id: str
    workspace: str
    member: str
    role: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def allowed(self) -> frozenset[str]:
        """What the key may be used for now: its scopes, as far as its member's role goes."""
        return frozenset(self.scopes) & frozenset(ROLES[self.role])


_SELECT = """
select k.key_id::text as key_id, k.workspace_id::text as workspace_id, w.name as workspace,
    m.name as member, m.role, k.name, k.prefix, k.scopes, k.created_at, k.expires_at,
    k.last_used_at, k.revoked_at
from control.api_keys as k
inner join control.members as m using (member_id)
inner join control.workspaces as w on w.workspace_id = k.workspace_id
"""

_IS_USABLE = "k.revoked_at is null and (k.expires_at is null or k.expires_at > now())"


def create_key(
    database: Database,
    *,
    workspace: str,
    member: str,
    name: str,
    role: str | None = None,
    scopes: Iterable[str] | None = None,
    lifetime: timedelta | None = None,
) -> tuple[str, ApiKey]:
    """A new key's text, shown this once, and what is stored of it.

    ``member`` is made with ``role`` (viewer unless given), or given that role if it is there.
    ``scopes``: fewer than the role's; ``lifetime``: forever unless given. Raises
    ``WorkspaceNotFoundError``, and ``ApiKeyError`` for a role or scope that cannot be had.
    """
    if role is not None and role not in ROLES:
        raise ApiKeyError(f"{role!r} is not a role: expected {', '.join(ROLES)}")
    prefix = _MARK + "".join(secrets.choice(_UNAMBIGUOUS) for _ in range(_PREFIX_CHARACTERS))
    text = f"{prefix}_{secrets.token_urlsafe(32)}"
    with database.connect() as connection:
        found = connection.execute(
            "select workspace_id from control.workspaces where name = %s", [workspace]
        ).fetchone()
        if found is None:
            known = connection.execute("select name from control.workspaces").fetchall()
            raise WorkspaceNotFoundError(workspace, [row["name"] for row in known])
        person = connection.execute(
            "insert into control.members as m (workspace_id, name, role)"
            " values (%(workspace)s, %(name)s, coalesce(%(role)s, 'viewer'))"
            " on conflict (workspace_id, name) do update set role = coalesce(%(role)s, m.role)"
            " returning member_id, role",
            {"workspace": found["workspace_id"], "name": member, "role": role},
        ).fetchone()
        assert person is not None
        may = ROLES[person["role"]]
        chosen = list(dict.fromkeys(scopes or may))
        for scope in chosen:
            if scope not in may:
                raise ApiKeyError(
                    f"the role {person['role']} has no scope {scope!r}: it has {', '.join(may)}"
                )
        connection.execute(
            "insert into control.api_keys"
            " (workspace_id, member_id, name, prefix, key_hash, scopes, expires_at)"
            " values (%s, %s, %s, %s, %s, %s, now() + %s)",
            [
                found["workspace_id"],
                person["member_id"],
                name,
                prefix,
                _hash(text),
                chosen,
                lifetime,
            ],
        )
        row = connection.execute(f"{_SELECT} where k.prefix = %s", [prefix]).fetchone()
    assert row is not None
    return text, _key(row)


def usable_key(database: Database, text: str) -> ApiKey | None:
    """The key with this text, if it is neither revoked nor expired; notes that it was used."""
    if not text.startswith(_MARK):
        return None

    def find(connection: Any) -> dict[str, Any] | None:
        row: dict[str, Any] | None = connection.execute(
            f"{_SELECT} where k.key_hash = %s and {_IS_USABLE}", [_hash(text)]
        ).fetchone()
        if row is not None:
            # Not at each request: a busy key would have one row written over and over.
            connection.execute(
                "update control.api_keys set last_used_at = now() where key_id = %s"
                " and (last_used_at is null or last_used_at < now() - %s)",
                [row["key_id"], _USE_IS_NOTED_AFTER],
            )
        return row

    row = database.run(find)
    return _key(row) if row is not None else None


def key_with_id(connection: Connection, key_id: str) -> ApiKey | None:
    """The key, if it is neither revoked nor expired."""
    row = connection.execute(f"{_SELECT} where k.key_id = %s and {_IS_USABLE}", [key_id]).fetchone()
    return _key(row) if row is not None else None


def list_keys(database: Database, workspace: str | None = None) -> list[ApiKey]:
    """Every key, or a workspace's, the newest first; also those that can no longer be used."""
    with database.connect() as connection:
        rows = connection.execute(
            f"{_SELECT} where %(workspace)s::text is null or w.name = %(workspace)s"
            " order by k.created_at desc",
            {"workspace": workspace},
        ).fetchall()
    return [_key(row) for row in rows]


def revoke_key(database: Database, prefix: str) -> ApiKey:
    """Have the key with this prefix refused from now on; again does nothing more.

    Raises ``ApiKeyNotFoundError``.
    """
    shown = prefix if prefix.startswith(_MARK) else _MARK + prefix
    shown = shown[: len(_MARK) + _PREFIX_CHARACTERS]  # a whole key may be given
    with database.connect() as connection:
        connection.execute(
            "update control.api_keys set revoked_at = coalesce(revoked_at, now())"
            " where prefix = %s",
            [shown],
        )
        row = connection.execute(f"{_SELECT} where k.prefix = %s", [shown]).fetchone()
    if row is None:
        raise ApiKeyNotFoundError(
            f"there is no key {shown}: `meta-ads keys list` shows those there are"
        )
    return _key(row)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _key(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey(**{**row, "scopes": tuple(row["scopes"])})
