"""The ad accounts that are synced, with the workspace, timezone and currency of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.errors import NotFoundError
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

DEFAULT_WORKSPACE_ID = "00000000-0000-0000-0000-000000000001"
"""The workspace that the first migration makes."""


class UnknownAccountError(NotFoundError):
    """An ad account was asked for that cannot be read; the message names it and the others."""

    def __init__(self, unknown: Iterable[str], readable: Mapping[str, str | None]) -> None:
        self.unknown = tuple(unknown)
        self.readable = dict(readable)
        listed = ", ".join(
            f"{account_id} ({name})" if name else account_id
            for account_id, name in sorted(self.readable.items())
        )
        several = len(self.unknown) > 1
        super().__init__(
            f"ad account{'s' if several else ''} {', '.join(self.unknown)} cannot be read with "
            f"this token, which reads {listed or 'no ad account at all'}. Check "
            "META_AD_ACCOUNT_IDS or --account, or let the token's user be assigned to "
            f"{'them' if several else 'it'}"
        )


@dataclass(frozen=True)
class Account:
    """An ad account as the pipeline knows it. ``account_id`` is without ``act_``.

    ``timezone`` is an IANA name, ``currency`` an ISO 4217 code: those of the account in Meta.
    """

    account_id: str
    timezone: str
    currency: str
    name: str | None = None
    workspace_id: str = DEFAULT_WORKSPACE_ID
    account_status: int | None = None


_COLUMNS = (
    "account_id, timezone, currency, name, workspace_id::text as workspace_id, account_status"
)


def active_accounts(database: Database, *, only: Sequence[str] = ()) -> list[Account]:
    """The accounts to sync, by id: every active one, or those of ``only`` whether active or not.

    Raises ``UnknownAccountError`` when one of ``only`` has never been landed.
    """
    wanted = [account.removeprefix("act_") for account in only]
    with database.connect() as connection:
        rows = connection.execute(
            f"select {_COLUMNS}, is_active from control.ad_accounts order by account_id"
        ).fetchall()
    known = {row["account_id"]: row for row in rows}
    unknown = [account for account in wanted if account not in known]
    if unknown:
        raise UnknownAccountError(unknown, {key: row["name"] for key, row in known.items()})
    return [
        _account(row)
        for account_id, row in known.items()
        if (account_id in wanted if wanted else row["is_active"])
    ]


def accounts_of_run(
    database: Database, named: Sequence[str], configured: Sequence[str]
) -> list[Account]:
    """The accounts that a run reads: those named for it, else those configured, else all.

    ``configured`` is ``META_AD_ACCOUNT_IDS``. Only a run that names an account reads one that was
    stopped. What was never read is left out, which the pull of the accounts tells. Raises
    ``UnknownAccountError`` when none of those named was ever landed.
    """
    wanted = {account.removeprefix("act_") for account in named or configured}
    with database.connect() as connection:
        rows = connection.execute(
            f"select {_COLUMNS}, is_active, exists (select from control.unreadable_accounts as u"
            "   where u.account_id = a.account_id) as is_unreadable"
            " from control.ad_accounts as a order by account_id"
        ).fetchall()
    known = {row["account_id"]: row for row in rows}
    if named and not wanted & known.keys():
        raise UnknownAccountError(sorted(wanted), {key: row["name"] for key, row in known.items()})
    return [
        _account(row)
        for account_id, row in known.items()
        if (not wanted or account_id in wanted)
        and (row["is_active"] or (named and not row["is_unreadable"]))
    ]


def inactive_account_ids(database: Database) -> set[str]:
    """The accounts that are known but not to be synced."""
    with database.connect() as connection:
        rows = connection.execute(
            "select account_id from control.ad_accounts where not is_active"
        ).fetchall()
    return {row["account_id"] for row in rows}


def save_accounts(connection: Any, accounts: Sequence[Account]) -> None:
    """Insert or refresh accounts. Whether one is active is the operator's and left alone."""
    connection.cursor().executemany(
        sql("save_account"),
        [vars(account) for account in accounts],
    )


def _account(row: Mapping[str, Any]) -> Account:
    return Account(**{name: row[name] for name in Account.__dataclass_fields__})
