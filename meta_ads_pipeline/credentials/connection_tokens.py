"""The stored tokens of connections: read, replace, re-encrypt, and who may renew one now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from pydantic import SecretStr

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.connections import (
    SET_FACTS,
    Connection,
    ConnectionStatus,
    TokenFacts,
    fact_values,
)
from meta_ads_pipeline.credentials.vault import TokenVault, VaultError, fingerprint
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)


def read_token(database: Database, vault: TokenVault, connection_id: str) -> SecretStr:
    """The stored token. Raises ``VaultError`` when it cannot be decrypted or there is none."""
    with database.connect() as connection:
        row = connection.execute(
            "select token_ciphertext from control.connections where connection_id = %s",
            [connection_id],
        ).fetchone()
    if row is None or row["token_ciphertext"] is None:
        raise VaultError("no token is stored for this connection: `meta-ads connect` stores one")
    return vault.decrypt(bytes(row["token_ciphertext"]))


def replace_token(
    database: Database,
    vault: TokenVault,
    old: Connection,
    token: SecretStr,
    facts: TokenFacts,
    status: ConnectionStatus,
    *,
    now: datetime,
) -> bool:
    """Put a renewed token in the place of ``old``'s; False when that is no longer there."""
    ciphertext = vault.encrypt(token)
    with database.connect() as connection:
        cursor = connection.execute(
            sql("replace_token", set_facts=SET_FACTS),
            {
                "ciphertext": ciphertext,
                "new": fingerprint(token),
                "old": old.token_fingerprint,
                "status": str(status),
                "id": old.connection_id,
                "now": now,
                **fact_values(facts),
            },
        )
    return cursor.rowcount == 1


def record_refresh_attempt(database: Database, connection_id: str, now: datetime) -> None:
    """Remember that renewing the token was tried."""
    with database.connect() as connection:
        connection.execute(
            "update control.connections set refresh_attempted_at = %s where connection_id = %s",
            [now, connection_id],
        )


def rotate_keys(database: Database, vault: TokenVault) -> int:
    """Re-encrypt every stored token with the newest key, all or none; returns how many.

    Raises ``VaultError`` naming the connection whose token no key decrypts.
    """
    with vault.rotation(), database.connect() as session:
        rows = session.execute(
            "select c.connection_id, w.name || '/' || c.name as label, c.token_ciphertext"
            " from control.connections as c inner join control.workspaces as w using (workspace_id)"
            " where c.token_ciphertext is not null order by c.connection_id for update of c"
        ).fetchall()
        for row in rows:
            try:
                ciphertext = vault.reencrypt(bytes(row["token_ciphertext"]))
            except VaultError as error:
                raise VaultError(f"{row['label']}: {error}") from error
            session.execute(
                "update control.connections set token_ciphertext = %s, updated_at = now()"
                " where connection_id = %s",
                [ciphertext, row["connection_id"]],
            )
    return len(rows)


@contextmanager
def token_lock(database: Database, connection_id: str, *, wait: bool = False) -> Iterator[bool]:
    """One process at a time renews a connection's token; yields whether it is this one.

    With ``wait`` it always is, in the end. The lock belongs to a database session, so it goes with
    the process however that ends.
    """
    function = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
    with database.connect(autocommit=True) as session:
        row = session.execute(
            f"select {function}(hashtext('token-refresh'), hashtext(%s))::text as got",
            [connection_id],
        ).fetchone()
        yield row is not None and row["got"] != "false"
