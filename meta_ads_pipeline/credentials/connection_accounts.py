"""Which ad account is read with which connection."""

from __future__ import annotations

from collections.abc import Sequence

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.connections import Connection, ConnectionInUseError
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)


def account_owners(database: Database) -> dict[str, str | None]:
    """The connection (id) of every known ad account; None for one that has none yet."""
    with database.connect() as session:
        rows = session.execute(
            "select account_id, connection_id::text as owner from control.ad_accounts"
        ).fetchall()
    return {row["account_id"]: row["owner"] for row in rows}


def active_accounts_of(database: Database, connection_id: str) -> list[str]:
    """The ids of the ad accounts that are synced with this connection."""
    with database.connect() as session:
        rows = session.execute(
            "select account_id from control.ad_accounts"
            " where connection_id = %s and is_active order by account_id",
            [connection_id],
        ).fetchall()
    return [row["account_id"] for row in rows]


def assign_accounts(database: Database, connection_id: str, account_ids: Sequence[str]) -> None:
    """Read these accounts with this connection from now on."""
    with database.connect() as session:
        session.execute(
            "update control.ad_accounts set connection_id = %(connection)s, updated_at = now()"
            " where account_id = any(%(ids)s) and connection_id is distinct from %(connection)s",
            {"connection": connection_id, "ids": list(account_ids)},
        )


def refuse_taken_accounts(database: Database, workspace: str, chosen: Sequence[Account]) -> None:
    """Raise ``ConnectionInUseError`` when a connection of another workspace has one of these."""
    with database.connect() as session:
        rows = session.execute(
            "select a.account_id, w.name as workspace from control.ad_accounts as a"
            " inner join control.workspaces as w using (workspace_id)"
            " inner join control.connections as c using (connection_id)"
            " where a.account_id = any(%s) and w.name <> %s and a.is_active"
            " and c.token_ciphertext is not null order by 1",
            [[account.account_id for account in chosen], workspace],
        ).fetchall()
    if rows:
        taken = ", ".join(f"act_{row['account_id']} ({row['workspace']})" for row in rows)
        raise ConnectionInUseError(
            f"already synced in another workspace: {taken}. Leave it out with --account, or "
            "remove the other connection first with `meta-ads connections remove`"
        )


def choose_accounts(
    database: Database, connection: Connection, chosen: Sequence[Account], others: Sequence[Account]
) -> None:
    """Sync ``chosen`` with this connection.

    Of the ``others`` that the token reads, those that nobody knows yet are known from now on, but
    not synced. What is synced already stays as it is: ``meta-ads accounts stop`` ends it.
    """
    with database.connect() as session:
        for accounts, is_chosen in ((chosen, True), (others, False)):
            session.cursor().executemany(
                sql("choose_accounts"),
                [
                    {
                        "id": account.account_id,
                        "workspace": connection.workspace_id,
                        "connection": connection.connection_id,
                        "name": account.name,
                        "currency": account.currency,
                        "timezone": account.timezone,
                        "status": account.account_status,
                        "chosen": is_chosen,
                    }
                    for account in accounts
                ],
            )
