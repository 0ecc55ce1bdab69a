"""For which accounts reach, frequency and unique counts are to be asked for: once each morning."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from meta_ads_pipeline.automation.windows import reach_is_due
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.gaps import REACH
from meta_ads_pipeline.windows import local_today

REACH_CRON = "40 * * * *"
"""A look at every hour; each account is asked for once a day, when it is morning there."""


def accounts_due_for_reach(
    database: Database, accounts: Sequence[Account], now: datetime
) -> list[Account]:
    """The accounts whose reach of yesterday was not asked for this morning. ``now`` is aware."""
    return [a for a in accounts if reach_is_due(a, last_try(database, a, now), now)]


def last_try(database: Database, account: Account, now: datetime) -> datetime | None:
    """When a pull of reach of the account's yesterday was last begun (UTC)."""
    yesterday = local_today(account.timezone, now) - timedelta(days=1)
    with database.connect() as connection:
        row = connection.execute(
            "select started_at from control.slices"
            " where account_id = %s and partition_date = %s and asset = %s",
            [account.account_id, yesterday, REACH],
        ).fetchone()
    return None if row is None else row["started_at"]
