"""The life of an ad account: active, unreadable, gone, stopped; and who changes that.

A pull that no connection can make for an account makes it *unreadable*: it is left out of syncs,
asked for again a few times at growing intervals, and then *gone*. One that Meta gives again is
active by itself. *Stopped* is what an operator chose with ``meta-ads accounts stop``; nothing but
``meta-ads accounts start`` ends it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from meta_ads_pipeline.control.accounts import UnknownAccountError
from meta_ads_pipeline.control.alerts import Alert, Severity, close_alerts, open_alert
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

RETRY_AFTER = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1), timedelta(days=3))
"""After how long an unreadable account is asked for again; after the last of them it is gone."""

UNREADABLE = "account_unreadable"
"""The kind of alert that stands while an account is unreadable or gone."""


class AccountState(StrEnum):
    """Whether syncs read an account."""

    ACTIVE = "active"
    UNREADABLE = "unreadable"
    GONE = "gone"
    STOPPED = "stopped"


@dataclass(frozen=True)
class KnownAccount:
    """An account and how it stands; instants are UTC.

    ``since``, ``reason``, ``tries`` and ``next_try_at`` are of what cannot be read; name, timezone
    and currency are None where it never was.
    """

    account_id: str
    state: AccountState
    name: str | None
    currency: str | None
    timezone: str | None
    connection: str | None
    since: datetime | None
    reason: str | None
    tries: int | None
    next_try_at: datetime | None

    @property
    def is_left_out(self) -> bool:
        """Whether syncs should read it and cannot."""
        return self.state in {AccountState.UNREADABLE, AccountState.GONE}


def known_accounts(database: Database, only: Collection[str] = ()) -> list[KnownAccount]:
    """Every account that was ever read or asked for, by id; of ``only`` where given."""
    with database.connect() as connection:
        rows = connection.execute(
            sql("known_accounts"),
            {"only": list(only)},
        ).fetchall()
    return [KnownAccount(**{**row, "state": AccountState(row["state"])}) for row in rows]


def mark_unreadable(database: Database, account_id: str, reason: str, now: datetime) -> None:
    """Leave the account out of syncs, note when it is asked for again, and open an alert.

    ``reason`` must hold no secret.
    """
    with database.connect() as connection:
        row = connection.execute(
            sql("mark_unreadable"),
            {
                "id": account_id,
                "now": now,
                "reason": reason,
                "first": RETRY_AFTER[0],
                "after": list(RETRY_AFTER),
            },
        ).fetchone()
        assert row is not None
        connection.execute(
            "update control.ad_accounts set is_active = false, updated_at = now()"
            " where account_id = %s and is_active",
            [account_id],
        )
    again = row["next_try_at"]
    state = AccountState.GONE if again is None else AccountState.UNREADABLE
    when = "It is no longer requested" if again is None else f"Next try {again:%Y-%m-%d %H:%M} UTC"
    open_alert(
        database,
        Alert(
            UNREADABLE,
            subject_of(account_id),
            Severity.WARNING,
            f"Ad account {account_id} cannot be read since {row['since']:%Y-%m-%d %H:%M} UTC and "
            f"is left out of syncs: {reason}",
            "Give the token's user access to it in Business settings, then run `meta-ads accounts "
            f"start {account_id}`; or run `meta-ads accounts stop {account_id}`. {when}",
            stage=str(state),
        ),
        now=now,
    )


def mark_readable(database: Database, account_ids: Collection[str], now: datetime) -> None:
    """Take accounts that Meta gave again back into syncs, and close their alerts."""
    with database.connect() as connection:
        back = connection.execute(
            "delete from control.unreadable_accounts where account_id = any(%s)"
            " returning account_id",
            [list(account_ids)],
        ).fetchall()
        ids = [row["account_id"] for row in back]
        connection.execute(
            "update control.ad_accounts set is_active = true, updated_at = now()"
            " where account_id = any(%s)",
            [ids],
        )
    for account_id in ids:
        close_alerts(database, subject_of(account_id), [UNREADABLE], now=now)


def stop_accounts(database: Database, account_ids: Sequence[str], now: datetime) -> list[str]:
    """Sync these no more; their data stays. Returns those that were not stopped before.

    Raises ``UnknownAccountError`` on one that is not known.
    """
    known = _known(database, account_ids)
    with database.connect() as connection:
        connection.execute(
            "delete from control.unreadable_accounts as u where account_id = any(%s)"
            " and exists (select from control.ad_accounts as a where a.account_id = u.account_id)",
            [list(account_ids)],
        )
        connection.execute(  # one that was never read has no other row
            "update control.unreadable_accounts set is_stopped = true where account_id = any(%s)",
            [list(account_ids)],
        )
        connection.execute(
            "update control.ad_accounts set is_active = false, updated_at = now()"
            " where account_id = any(%s)",
            [list(account_ids)],
        )
    for account_id in account_ids:
        close_alerts(database, subject_of(account_id), [UNREADABLE], now=now)
    return [each.account_id for each in known if each.state is not AccountState.STOPPED]


def start_accounts(database: Database, account_ids: Sequence[str], now: datetime) -> list[str]:
    """Sync these again, from the next sync on. Returns those that were not active before.

    Raises ``UnknownAccountError`` on one that is not known.
    """
    known = _known(database, account_ids)
    with database.connect() as connection:
        connection.execute(
            "update control.ad_accounts set is_active = true, updated_at = now()"
            " where account_id = any(%s) and not is_active",
            [list(account_ids)],
        )
    mark_readable(database, account_ids, now)
    return [each.account_id for each in known if each.state is not AccountState.ACTIVE]


def subject_of(account_id: str) -> str:
    """What alerts about an account's life are filed under."""
    return f"ad account act_{account_id}"


def _known(database: Database, account_ids: Sequence[str]) -> list[KnownAccount]:
    everything = {each.account_id: each for each in known_accounts(database)}
    unknown = [each for each in account_ids if each not in everything]
    if unknown:
        raise UnknownAccountError(unknown, {key: a.name for key, a in everything.items()})
    return [everything[account_id] for account_id in account_ids]
