"""Connections: each workspace's Meta credentials, their tokens encrypted, and how they stand.

``META_ACCESS_TOKEN`` makes a connection, too, called ``environment``: its state is kept here like
any other's, its token is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from meta_ads_pipeline.control.accounts import DEFAULT_WORKSPACE_ID
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.vault import TokenVault, fingerprint
from meta_ads_pipeline.errors import CredentialsError, NotFoundError
from meta_ads_pipeline.settings import Settings
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

ENVIRONMENT_NAME = "environment"
DEFAULT_WORKSPACE = "default"
"""The name of the workspace that the first migration makes."""


class ConnectionStatus(StrEnum):
    """Whether a connection may be used, and if not, why."""

    ACTIVE = "active"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    REVOKED = "revoked"
    MISSING_SCOPE = "missing_scope"

    @property
    def usable(self) -> bool:
        """Whether calls may be made with the token."""
        return self in {ConnectionStatus.ACTIVE, ConnectionStatus.EXPIRING}


class ConnectionNotFoundError(NotFoundError):
    """No connection has this name; the message lists those there are."""


class ConnectionInUseError(CredentialsError):
    """What was asked for would take something from another connection; the message says what."""


class MissingCredentialsError(CredentialsError):
    """There is no token to read Meta with; the message says how to give one."""


@dataclass(frozen=True)
class TokenFacts:
    """What Meta says about a token; instants are UTC, None means never, or not known."""

    token_type: str | None = None
    scopes: tuple[str, ...] = ()
    app_id: str | None = None
    user_id: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    data_access_expires_at: datetime | None = None


@dataclass(frozen=True)
class Connection:
    """One connection without its token; instants are UTC, None means never, or not known."""

    connection_id: str
    workspace_id: str
    workspace: str
    name: str
    facts: TokenFacts
    status: ConnectionStatus
    status_reason: str | None
    reads_all_accounts: bool
    has_stored_token: bool
    token_fingerprint: str | None
    last_validated_at: datetime | None
    refreshed_at: datetime | None
    refresh_attempted_at: datetime | None

    @property
    def label(self) -> str:
        """``workspace/name``: how a person calls it."""
        return f"{self.workspace}/{self.name}"

    @property
    def subject(self) -> str:
        """What alerts about it are filed under."""
        return f"connection {self.label}"

    @property
    def from_environment(self) -> bool:
        """Whether its token is ``META_ACCESS_TOKEN``."""
        return not self.has_stored_token


_FACTS = tuple(TokenFacts.__dataclass_fields__)
SET_FACTS = ", ".join(f"{name} = %({name})s" for name in _FACTS)
"""Assignments of every fact, for an update; ``fact_values`` gives the parameters."""


def list_connections(database: Database) -> list[Connection]:
    """Every connection: that of the environment first, then the oldest first."""
    with database.connect() as connection:
        rows = connection.execute(sql("connections"), {"id": None}).fetchall()
    return [_connection(row) for row in rows]


def has_stored_token(database: Database) -> bool:
    """Whether ``meta-ads connect`` has stored a connection."""
    with database.connect() as connection:
        row = connection.execute(
            "select exists (select from control.connections where token_ciphertext is not null)"
            " as found"
        ).fetchone()
    return row is not None and bool(row["found"])


def holds_real_accounts(database: Database, simulators: SecretStr) -> bool:
    """Whether an ad account was read with another token than the simulator's."""
    with database.connect() as connection:
        row = connection.execute(
            "select exists (select from control.ad_accounts as a"
            " left join control.connections as c using (connection_id)"
            " where c.token_fingerprint is distinct from %s) as found",
            [fingerprint(simulators)],
        ).fetchone()
    return row is not None and bool(row["found"])


def find_connection(database: Database, name: str) -> Connection:
    """The connection of this ``name``, ``workspace/name`` or id.

    Raises ``ConnectionNotFoundError`` when there is none, or when several workspaces have one.
    """
    everything = list_connections(database)
    found = [c for c in everything if name in {c.name, c.label, c.connection_id}]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(c.label for c in found or everything) or "none"
    if found:
        raise ConnectionNotFoundError(f"{name!r} is the name of several connections: {listed}")
    raise ConnectionNotFoundError(
        f"there is no connection {name!r}; there is: {listed}. `meta-ads connect` makes one"
    )


def reload(database: Database, connection_id: str) -> Connection:
    """The connection as it stands now. Raises ``ConnectionNotFoundError`` when it is gone."""
    with database.connect() as connection:
        row = connection.execute(sql("connections"), {"id": connection_id}).fetchone()
    if row is None:
        raise ConnectionNotFoundError("the connection has been removed meanwhile")
    return _connection(row)


def save_connection(
    database: Database,
    vault: TokenVault,
    *,
    workspace: str,
    name: str,
    token: SecretStr,
    facts: TokenFacts,
    status: ConnectionStatus,
    reason: str | None,
    reads_all_accounts: bool,
    now: datetime | None = None,
) -> Connection:
    """Store a token under ``workspace`` (made if new) and ``name``, replacing an earlier one.

    Raises ``ConnectionInUseError`` when the name belongs to another person's token, ``VaultError``
    when the token cannot be encrypted.
    """
    if name == ENVIRONMENT_NAME:
        raise ConnectionInUseError(
            f"the name {ENVIRONMENT_NAME!r} is that of META_ACCESS_TOKEN: choose another with "
            "--name"
        )
    ciphertext = vault.encrypt(token)
    with database.connect() as connection:
        workspace_id = _ensure_workspace(connection, workspace)
        row = connection.execute(
            sql("save_connection", set_facts=SET_FACTS),
            {
                "workspace": workspace_id,
                "name": name,
                "ciphertext": ciphertext,
                "fingerprint": fingerprint(token),
                **fact_values(facts),
                "status": str(status),
                "reason": reason,
                "all": reads_all_accounts,
                "now": now or datetime.now(UTC),
            },
        ).fetchone()
        if row is None:
            raise ConnectionInUseError(
                f"the connection {workspace}/{name} holds another person's token: choose another "
                "name with --name, or remove that one first with `meta-ads connections remove`"
            )
    return reload(database, row["connection_id"])


def environment_connection(database: Database, token: SecretStr) -> Connection:
    """The connection that ``META_ACCESS_TOKEN`` makes; begins anew when the token has changed."""
    with database.connect() as connection:
        row = connection.execute(
            sql("save_environment_connection"),
            {
                "workspace": DEFAULT_WORKSPACE_ID,
                "name": ENVIRONMENT_NAME,
                "fingerprint": fingerprint(token),
            },
        ).fetchone()
        row = (
            row
            or connection.execute(
                "select connection_id::text as connection_id from control.connections"
                " where workspace_id = %s and name = %s",
                [DEFAULT_WORKSPACE_ID, ENVIRONMENT_NAME],
            ).fetchone()
        )
    assert row is not None
    return reload(database, row["connection_id"])


def register_environment(database: Database, settings: Settings) -> None:
    """Write down the connection that ``META_ACCESS_TOKEN`` makes; anew when the token changed."""
    if settings.access_token is not None:
        environment_connection(database, settings.access_token)


def unregistered(token: SecretStr, stored: Connection | None) -> Connection:
    """The connection that ``environment_connection`` would write for this token; writes nothing."""
    return Connection(
        connection_id=stored.connection_id if stored else str(UUID(int=0)),
        workspace_id=DEFAULT_WORKSPACE_ID,
        workspace=DEFAULT_WORKSPACE,
        name=ENVIRONMENT_NAME,
        facts=TokenFacts(),
        status=ConnectionStatus.ACTIVE,
        status_reason=None,
        reads_all_accounts=True,
        has_stored_token=False,
        token_fingerprint=fingerprint(token),
        last_validated_at=None,
        refreshed_at=None,
        refresh_attempted_at=None,
    )


def record_state(
    database: Database,
    connection: Connection,
    status: ConnectionStatus,
    reason: str | None,
    *,
    facts: TokenFacts | None = None,
    validated_at: datetime | None = None,
) -> Connection:
    """Write how the connection stands; ``facts`` and ``validated_at`` only where they are new.

    Nothing is written when its token has been replaced meanwhile: the news is of the old one.
    ``reason`` must hold no secret. Returns the connection as it stands now.
    """
    with database.connect() as session:
        session.execute(
            "update control.connections set status = %(status)s, status_reason = %(reason)s,"
            " last_validated_at = coalesce(%(validated_at)s, last_validated_at),"
            f" updated_at = now(){', ' + SET_FACTS if facts else ''}"
            " where connection_id = %(id)s"
            " and token_fingerprint is not distinct from %(fingerprint)s",
            {
                "status": str(status),
                "reason": reason,
                "validated_at": validated_at,
                "id": connection.connection_id,
                "fingerprint": connection.token_fingerprint,
                **(fact_values(facts) if facts else {}),
            },
        )
    return reload(database, connection.connection_id)


def remove_connection(database: Database, connection: Connection) -> int:
    """Forget the connection and its token; its ad accounts are no longer synced, their data stays.

    Returns how many accounts that concerns.
    """
    with database.connect() as session:
        cursor = session.execute(
            "update control.ad_accounts set connection_id = null, is_active = false,"
            " updated_at = now() where connection_id = %s",
            [connection.connection_id],
        )
        session.execute(
            "delete from control.connections where connection_id = %s", [connection.connection_id]
        )
        session.execute(
            "update control.alerts set resolved_at = now()"
            " where subject = %s and resolved_at is null",
            [connection.subject],
        )
    return cursor.rowcount


def _ensure_workspace(session: Any, name: str) -> str:
    row = session.execute(
        "insert into control.workspaces (name) values (%s)"
        " on conflict (name) do update set name = excluded.name"
        " returning workspace_id::text as workspace_id",
        [name],
    ).fetchone()
    return str(row["workspace_id"])


def fact_values(facts: TokenFacts) -> dict[str, Any]:
    """The parameters of ``SET_FACTS``."""
    values = {name: getattr(facts, name) for name in _FACTS}
    return {**values, "scopes": list(facts.scopes)}


def _connection(row: Mapping[str, Any]) -> Connection:
    kept = {name: row[name] for name in Connection.__dataclass_fields__ if name in row}
    facts = TokenFacts(**{**{name: row[name] for name in _FACTS}, "scopes": tuple(row["scopes"])})
    return Connection(**{**kept, "facts": facts, "status": ConnectionStatus(row["status"])})
