"""Which dates of an account Meta can be asked for: begun, and not older than what it keeps."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, datetime

from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Connection
from meta_ads_pipeline.control.slices import Attempt, SliceKey
from meta_ads_pipeline.insights_tables import ALL_INSIGHTS_TABLES
from meta_ads_pipeline.windows import (
    HOURS_KEPT_MONTHS,
    KEPT_MONTHS,
    begun,
    local_today,
    months_before,
)

logger = logging.getLogger(__name__)


def first_kept(asset: str, today: date) -> date | None:
    """The oldest account-local date that Meta still answers for; None: entities, which it keeps."""
    table = ALL_INSIGHTS_TABLES.get(asset)
    if table is None:
        return None
    months = HOURS_KEPT_MONTHS if table.grain == "hour" else KEPT_MONTHS
    return months_before(today, months)


def askable(
    connection: Connection,
    account: Account,
    asset: str,
    dates: Sequence[date],
    by: Attempt,
    now: datetime,
) -> list[date]:
    """The dates to ask for; those that Meta no longer keeps are marked so in ``control.slices``.

    What is landed of them stays. A date that has not begun for the account is left out.
    """
    days = begun(dates, account.timezone, now)
    first = first_kept(asset, local_today(account.timezone, now))
    forgotten = [day for day in days if first is not None and day < first]
    if forgotten:
        logger.info(
            "%s of act_%s: %s to %s is no longer kept by Meta and not requested",
            *(asset, account.account_id, min(forgotten), max(forgotten)),
        )
        slices.mark_not_kept(connection, SliceKey(account.account_id, asset), forgotten, by)
    return [day for day in days if first is None or day >= first]
