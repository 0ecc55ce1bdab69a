"""Which dates the refresh of today has to take along: those that an outage has left open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from meta_ads_pipeline.automation.windows import CLOSED_AFTER
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.sql_files import SqlFolder
from meta_ads_pipeline.windows import local_today

sql = SqlFolder(__file__)

OUTAGE_DAYS = 7
"""So far back the refresh of today goes. What is older is a gap, and filled as such."""


def first_open_dates(
    database: Database, accounts: Sequence[Account], now: datetime
) -> dict[str, date]:
    """By account the date after its latest closed one, else the earliest that was pulled at all.

    A date is closed once each kind of insights was pulled six hours after its end, account-local.
    One whose pull has failed is left to the retries, and counts as closed here. Of the last
    ``OUTAGE_DAYS``; none for an account of which nothing was pulled in these. ``now`` is aware.
    """
    with database.connect() as connection:
        rows = connection.execute(
            sql("closed_dates"),
            {
                "accounts": [account.account_id for account in accounts],
                "assets": list(INSIGHTS_TABLES),
                "first": now.date() - timedelta(days=OUTAGE_DAYS),
            },
        ).fetchall()
    timezones = {account.account_id: account.timezone for account in accounts}
    first_open: dict[str, date] = {}
    for row in rows:  # by date
        account_id, day = row["account_id"], row["partition_date"]
        first_open.setdefault(account_id, day)
        zone = ZoneInfo(timezones[account_id])
        end = datetime.combine(day + timedelta(days=1), datetime.min.time(), zone)
        if row["is_left_to_retries"] or row["pulled_at"] >= end + CLOSED_AFTER:
            first_open[account_id] = day + timedelta(days=1)
    return {
        account_id: day
        for account_id, day in first_open.items()
        if day <= local_today(timezones[account_id], now)
    }
