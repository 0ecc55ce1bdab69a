"""What `meta-ads webhooks subscribe` chose, and which ad accounts Meta sends changes of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

RETRY_REFUSED_AFTER = timedelta(days=1)
"""What Meta refuses takes a person, who does not come every hour."""


@dataclass(frozen=True)
class WebhookSubscription:
    """The receiver of an app's webhooks. ``every_account``: also of those that appear later."""

    app_id: str
    callback_url: str
    fields: tuple[str, ...]
    every_account: bool
    subscribed_at: datetime


def remember(database: Database, subscription: WebhookSubscription) -> None:
    """Keep what was chosen. A choice of every account stays when single ones are named later."""
    with database.connect() as connection:
        connection.execute(
            "insert into control.webhook_subscriptions as s"
            " values (%(app_id)s, %(callback_url)s, %(fields)s, %(every_account)s,"
            " %(subscribed_at)s) on conflict (app_id) do update set"
            " callback_url = excluded.callback_url, fields = excluded.fields,"
            " every_account = s.every_account or excluded.every_account,"
            " subscribed_at = excluded.subscribed_at",
            {**vars(subscription), "fields": list(subscription.fields)},
        )


def subscription_of(database: Database, app_id: str | None) -> WebhookSubscription | None:
    """What was chosen for an app, if anything was."""
    with database.connect() as connection:
        row = connection.execute(
            "select * from control.webhook_subscriptions where app_id = %s", [app_id]
        ).fetchone()
    return None if row is None else WebhookSubscription(**{**row, "fields": tuple(row["fields"])})


def unsubscribed_accounts(database: Database, app_id: str, now: datetime) -> list[str]:
    """Active accounts that are to be subscribed now (``now``: UTC), where all were chosen.

    One that cannot be read is forgotten: Meta may have ended its subscription, so that it is made
    anew when the account comes back.
    """
    with database.connect() as connection:
        connection.execute(
            "delete from control.webhook_accounts as w using control.unreadable_accounts as u"
            " where w.account_id = u.account_id"
        )
        rows = connection.execute(
            sql("unsubscribed_accounts"),
            {"app_id": app_id, "retry_before": now - RETRY_REFUSED_AFTER},
        ).fetchall()
    return [row["account_id"] for row in rows]


def record_attempt(
    database: Database, app_id: str, account_id: str, reason: str | None, now: datetime
) -> None:
    """An account was subscribed, or refused for ``reason`` (which holds no secret)."""
    with database.connect() as connection:
        connection.execute(
            "insert into control.webhook_accounts values (%s, %s, %s, %s)"
            " on conflict (app_id, account_id) do update set"
            " attempted_at = excluded.attempted_at, reason = excluded.reason",
            [app_id, account_id, now, reason],
        )


def attempts(database: Database, app_id: str) -> dict[str, str | None]:
    """The active accounts that were tried, each with why Meta refused; None: subscribed."""
    with database.connect() as connection:
        rows = connection.execute(
            "select account_id, w.reason from control.webhook_accounts as w"
            " inner join control.ad_accounts as a using (account_id)"
            " where w.app_id = %s and a.is_active order by account_id",
            [app_id],
        ).fetchall()
    return {row["account_id"]: row["reason"] for row in rows}


def missing(found: dict[str, str | None]) -> Sequence[str]:
    """Those of ``attempts`` that Meta refused."""
    return [account_id for account_id, reason in found.items() if reason is not None]
