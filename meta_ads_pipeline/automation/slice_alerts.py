"""Alerts about slices that keep failing: one for each ad account, closed when they are done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from meta_ads_pipeline.automation.retries import OpenSlice
from meta_ads_pipeline.control.alerts import Alert, Severity, update_alerts_of_kind
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.redaction import redact

KIND = "slices_failing"
ALERT_FROM_ATTEMPTS = 3


def slice_alerts(slices: Iterable[OpenSlice]) -> list[Alert]:
    """An alert for each account with slices that were tried often enough for a person to look.

    It is news again when the worst slice's attempts have doubled: less and less often.
    """
    persistent: dict[str, list[OpenSlice]] = defaultdict(list)
    for slice_ in slices:
        if slice_.attempts >= ALERT_FROM_ATTEMPTS and slice_.status != "running":
            persistent[slice_.account_id].append(slice_)
    return [_alert(account_id, found) for account_id, found in sorted(persistent.items())]


def update_slice_alerts(database: Database, slices: Iterable[OpenSlice], now: datetime) -> None:
    """Open an alert for each account that needs one; close those of accounts that do not."""
    update_alerts_of_kind(database, KIND, slice_alerts(slices), now=now)


def _alert(account_id: str, slices: list[OpenSlice]) -> Alert:
    worst = max(slices, key=lambda s: (s.attempts, s.partition_date, s.asset))
    dates = [s.partition_date for s in slices]
    why = redact(worst.error_message or worst.error_kind or "no reason was recorded")
    return Alert(
        kind=KIND,
        subject=f"ad account {account_id}",
        severity=Severity.WARNING,
        message=(
            f"act_{account_id}: {len(slices)} slices from {min(dates)} to {max(dates)} fail again "
            f"and again; {worst.asset} of {worst.partition_date} is {worst.status} after "
            f"{worst.attempts} attempts: {why}"
        ),
        what_to_do=(
            "Act on the reason; `meta-ads status` lists the slices, and "
            f"`meta-ads sync --start {min(dates)} --end {max(dates)} --account {account_id}` "
            "tries them at once."
        ),
        stage=f"{_doubled(worst.attempts)} attempts",
    )


def _doubled(attempts: int) -> int:
    """The last of 3, 6, 12, ... attempts that was reached."""
    return ALERT_FROM_ATTEMPTS << ((attempts // ALERT_FROM_ATTEMPTS).bit_length() - 1)
