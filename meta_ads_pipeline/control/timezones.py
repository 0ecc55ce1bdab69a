"""Timezones: each ad account's over time, and the one that a workspace reads in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import psycopg

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.alerts import Alert, Severity, close_alerts, open_alert
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.errors import ConfigurationError
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

CHANGED = "timezone_changed"
"""The kind of alert that stands while landed dates are not of the account's present timezone."""


class TimezoneError(ConfigurationError):
    """A timezone was named that Postgres does not know; the message says what is expected."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is not an IANA timezone: expected a name such as Europe/Berlin or UTC, "
            "written as in the view pg_timezone_names"
        )


class WorkspaceNotFoundError(ConfigurationError):
    """A workspace was named that does not exist; the message names those that do."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no workspace {name!r}: there is {', '.join(sorted(known))}")


@dataclass(frozen=True)
class AccountTimezone:
    """An IANA timezone of an account, from the instant (UTC) at which a pull first saw it.

    The first one counts for all time before it, too.
    """

    timezone: str
    valid_from: datetime


def record_timezones(
    connection: Connection, accounts: Sequence[Account], seen_at: datetime
) -> None:
    """Note the timezones of accounts that are new or have another one than before."""
    connection.cursor().executemany(
        sql("record_timezones"),
        [
            {"id": account.account_id, "timezone": account.timezone, "at": seen_at}
            for account in accounts
        ],
    )


def account_timezones(database: Database, account_id: str) -> list[AccountTimezone]:
    """The account's timezones, oldest first; none for an account that was never pulled."""
    with database.connect() as connection:
        rows = connection.execute(
            "select timezone, valid_from from control.account_timezones"
            " where account_id = %s order by valid_from",
            [account_id],
        ).fetchall()
    return [AccountTimezone(**row) for row in rows]


def today_in(database: Database, workspace_id: str) -> date:
    """The latest date that has begun for an ad account of the workspace; without any, UTC's."""
    with database.connect() as connection:
        row = connection.execute(
            "select coalesce(max((control.current_instant() at time zone timezone)::date),"
            " (control.current_instant() at time zone 'UTC')::date) as today"
            " from control.ad_accounts where workspace_id = %s and is_active",
            [workspace_id],
        ).fetchone()
    assert row is not None
    today: date = row["today"]
    return today


def update_timezone_alerts(
    database: Database, accounts: Sequence[Account], *, now: datetime
) -> None:
    """Alert on accounts with landed dates of an earlier timezone; close where there are none left.

    Dates keep the timezone that they were pulled under, so that days overlap or leave a hole where
    two timezones meet, until the earlier dates are pulled again.
    """
    by_id = {account.account_id: account for account in accounts}
    with database.connect() as connection:
        rows = connection.execute(
            sql("dates_of_another_calendar"), {"accounts": list(by_id)}
        ).fetchall()
    for row in rows:
        account = by_id[row["account_id"]]
        if row["timezones"] is None:
            close_alerts(database, _subject(account), [CHANGED], now=now)
        else:
            open_alert(database, _changed(account, **row), now=now)


def workspace_timezones(database: Database, workspace: str | None = None) -> dict[str, str | None]:
    """The timezone that each workspace, or this one, reads in; None: each account's own.

    Raises ``WorkspaceNotFoundError`` when there is no such workspace.
    """
    with database.connect() as connection:
        rows = connection.execute(
            "select name, display_timezone from control.workspaces order by name"
        ).fetchall()
    found: dict[str, str | None] = {row["name"]: row["display_timezone"] for row in rows}
    if workspace is None:
        return found
    if workspace not in found:
        raise WorkspaceNotFoundError(workspace, found)
    return {workspace: found[workspace]}


def set_workspace_timezone(database: Database, workspace: str, timezone: str | None) -> None:
    """Choose the IANA timezone that a workspace reads in; None: each account's own.

    Raises ``TimezoneError`` when Postgres does not know it, ``WorkspaceNotFoundError`` when there
    is no such workspace.
    """
    try:
        with database.connect() as connection:
            changed = connection.execute(
                "update control.workspaces set display_timezone = %s where name = %s",
                [timezone, workspace],
            )
    except psycopg.errors.CheckViolation:
        raise TimezoneError(str(timezone)) from None
    if changed.rowcount == 0:
        raise WorkspaceNotFoundError(workspace, workspace_timezones(database))


def choose_timezone(connection: Connection, timezone: str) -> None:
    """Have the ``*_display`` marts read in ``timezone`` for the rest of the transaction.

    An IANA name, or ``account`` for each account's own. Raises ``TimezoneError`` for any other.
    """
    row = connection.execute(
        "select set_config('meta_ads.display_timezone', %(timezone)s, true),"
        "   %(timezone)s = 'account' or exists"
        "   (select from pg_timezone_names where name = %(timezone)s) as is_known",
        {"timezone": timezone},
    ).fetchone()
    if row is None or not row["is_known"]:
        raise TimezoneError(timezone)


def _subject(account: Account) -> str:
    return f"ad account {account.account_id}"


def _changed(
    account: Account, *, account_id: str, timezones: str, first_date: date, last_date: date
) -> Alert:
    return Alert(
        kind=CHANGED,
        subject=_subject(account),
        severity=Severity.WARNING,
        message=(
            f"act_{account_id} is now in {account.timezone}; dates from {first_date} to "
            f"{last_date} were pulled while it was in {timezones} and are days of that timezone"
        ),
        what_to_do=(
            "Pull them again to have one calendar: "
            f"`meta-ads sync --start {first_date} --end {last_date} --account {account_id}`. "
            "Until then marts.account_timezones shows where hours are missing or counted twice."
        ),
        stage=account.timezone,
    )
