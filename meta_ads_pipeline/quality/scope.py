"""What a check looks at: the dates and the ad accounts of its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias

import dagster as dg

from meta_ads_pipeline.control.accounts import Account, accounts_of_run
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.run_tags import ACCOUNTS_TAG
from meta_ads_pipeline.windows import (
    SETTLED_AFTER_DAYS,
    DateWindow,
    begun,
    local_today,
    window_of_keys,
)

RunContext: TypeAlias = dg.AssetCheckExecutionContext | dg.AssetExecutionContext


@dataclass(frozen=True)
class CheckScope:
    """Account-local dates and ad accounts.

    ``started_at`` (UTC) is when the run began: a date that begins while the run is at work was
    rightly not pulled by it. ``run_id`` says which look of the checks this is.
    """

    window: DateWindow
    accounts: tuple[Account, ...]
    started_at: datetime
    run_id: str = ""

    @property
    def account_ids(self) -> list[str]:
        """The accounts' ids, for SQL."""
        return [account.account_id for account in self.accounts]

    @property
    def account_names(self) -> list[str]:
        """The accounts as a person knows them."""
        return [
            f"act_{a.account_id} ({a.name})" if a.name else f"act_{a.account_id}"
            for a in self.accounts
        ]

    @property
    def dates(self) -> str:
        """The dates in words."""
        return f"{self.window.start}..{self.window.end}"

    @property
    def warned_since(self) -> date:
        """The first date whose warnings of earlier runs are still news; what fails always is."""
        return open_window(self.accounts, self.started_at).start

    def begun_slices(self) -> list[tuple[str, date]]:
        """Every (account, date) of the scope that had begun where the account is."""
        return [
            (account.account_id, day)
            for account in self.accounts
            for day in begun(self.window.dates, account.timezone, self.started_at)
        ]


def scope_of(context: RunContext, database: DatabaseResource, meta: MetaAdsResource) -> CheckScope:
    """The scope of a run: its partitions and the accounts it was limited to.

    A check that is started by itself has no partitions: it looks at the days that Meta may still
    restate. Raises ``UnknownAccountError`` when none of those named has ever been landed.
    """
    tagged = [part for part in context.run.tags.get(ACCOUNTS_TAG, "").split(",") if part]
    accounts = accounts_of_run(database.database, tagged, meta.account_ids)
    started_at = _started_at(context)
    if context.has_partition_key or context.has_partition_key_range:
        window = window_of_keys(context.partition_keys)
    else:
        window = _since_the_first_pull(open_window(accounts, started_at), database)
    return CheckScope(window, tuple(accounts), started_at, context.run.run_id)


def open_window(accounts: Sequence[Account], now: datetime) -> DateWindow:
    """The dates that are not settled yet for some account, up to the latest local today."""
    todays = [local_today(account.timezone, now) for account in accounts] or [now.date()]
    return DateWindow(min(todays) - timedelta(days=SETTLED_AFTER_DAYS), max(todays))


def _since_the_first_pull(window: DateWindow, database: DatabaseResource) -> DateWindow:
    """Without the dates before anything was pulled: nobody has asked for them yet."""
    with database.database.connect() as connection:
        row = connection.execute(
            "select min(partition_date) as first from control.slices where pulled_at is not null"
        ).fetchone()
    first = row["first"] if row is not None else None
    if first is None or not window.start < first <= window.end:
        return window
    return DateWindow(first, window.end)


def _started_at(context: RunContext) -> datetime:
    record = context.instance.get_run_record_by_id(context.run.run_id)
    if record is not None and record.start_time is not None:
        return datetime.fromtimestamp(record.start_time, UTC)
    return datetime.now(UTC)
