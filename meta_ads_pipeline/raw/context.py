"""What a pull needs and what it gives back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.slices import Attempt, SliceCounts
from meta_ads_pipeline.meta_api.client import AccountRef
from meta_ads_pipeline.meta_api.priority import Priority, calls_of_priority
from meta_ads_pipeline.run_tags import REFRESH_RECENT, REFRESH_TODAY
from meta_ads_pipeline.windows import local_today

logger = logging.getLogger(__name__)

Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class SliceReport:
    """What happened to one slice. Rows; ``row_count`` is what the slice holds now.

    ``skipped``: it was done already under the sync; nothing was fetched or changed.
    """

    account_id: str
    partition_date: date
    asset: str
    fetched: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    dead_lettered: int = 0
    api_calls: int = 0
    skipped: bool = False
    row_count: int = 0

    @classmethod
    def of(
        cls, account_id: str, day: date, asset: str, counts: SliceCounts, api_calls: int
    ) -> SliceReport:
        """The report of a slice that was replaced."""
        return cls(
            account_id=account_id,
            partition_date=day,
            asset=asset,
            fetched=counts.fetched,
            inserted=counts.inserted,
            updated=counts.updated,
            deleted=counts.deleted,
            unchanged=counts.unchanged,
            dead_lettered=counts.dead_lettered,
            api_calls=api_calls,
            row_count=counts.inserted + counts.updated + counts.unchanged,
        )


@dataclass(frozen=True)
class PullContext:
    """On whose behalf a pull works. Slices done under ``sync_id`` are not fetched again.

    ``progress`` hears of slices of one account and asset that are done together, from the thread
    that landed them. ``now`` gives the present (UTC). ``refresh`` is the kind of refresh that the
    pull is for, None: no schedule's. ``changed_hours``: whoever asked wants no hours of days that
    still agree with them. ``requested_by`` and ``api_version`` are for the audit.
    ``upstream_over`` returns once the account's pulls that this one builds on have ended, well or
    not.
    """

    sync_id: str
    run_id: str
    progress: Callable[[Sequence[SliceReport]], None] | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    refresh: str | None = None
    changed_hours: bool = False
    requested_by: str | None = None
    api_version: str | None = None
    upstream_over: Callable[[], None] = lambda: None

    @property
    def days_first(self) -> bool:
        """Whether hours are read only where the days no longer agree with them."""
        return self.changed_hours or self.refresh == REFRESH_RECENT

    def priority(self, newest: date, account: Account) -> Priority:
        """Of the calls about account-local dates up to ``newest``."""
        if self.refresh == REFRESH_TODAY:
            return Priority.TODAY
        return Priority.of_dates(newest, local_today(account.timezone, self.now()))

    def prioritized(self) -> AbstractContextManager[None]:
        """Inside it a refresh's calls have its priority; else each call that of its newest day."""
        if self.refresh == REFRESH_TODAY:
            # Yesterday, too, while its last hours still come in.
            return calls_of_priority(Priority.TODAY)
        return nullcontext()

    @property
    def attempt(self) -> Attempt:
        """The same, for the slice records."""
        return Attempt(self.sync_id, self.run_id, self.requested_by, self.api_version)

    def tell(self, done: Iterable[SliceReport]) -> list[SliceReport]:
        """Log each report, and pass all of them on to ``progress``."""
        reports = list(done)
        for report in reports:
            logger.info(
                "%s of act_%s, %s: done",
                report.asset,
                report.account_id,
                report.partition_date,
                extra={
                    **asdict(report),
                    "partition_date": report.partition_date.isoformat(),
                    "run_id": self.run_id,
                    "sync_id": self.sync_id,
                },
            )
        if reports and self.progress is not None:
            self.progress(reports)
        return reports


def account_ref(account: Account) -> AccountRef:
    """The account as the API client wants it."""
    return AccountRef(account.account_id, account.timezone, account.currency)
