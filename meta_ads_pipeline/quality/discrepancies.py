"""Discrepancies that persist become alerts: one for each account and check, until it passes."""

from __future__ import annotations

from datetime import datetime

from meta_ads_pipeline.control.alerts import Alert, Severity, update_alerts_of_kind
from meta_ads_pipeline.control.check_results import FailingCheck, failing_checks
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.catalogue import PERSISTS_AFTER, PERSISTS_AFTER_LOOKS, rule_of
from meta_ads_pipeline.quality.outcome import day_ranges

KIND = "discrepancy_persists"


def update_discrepancy_alerts(database: Database, now: datetime | None = None) -> list[Alert]:
    """Open an alert for what has failed on enough runs for long enough; close what passes again.

    Returns what stands. Raises ``DatabaseError`` when the server cannot be reached.
    """
    persisting = failing_checks(database, looks=PERSISTS_AFTER_LOOKS, span=PERSISTS_AFTER)
    standing = [discrepancy_alert(failing) for failing in persisting]
    update_alerts_of_kind(database, KIND, standing, now=now)
    return standing


def discrepancy_alert(failing: FailingCheck) -> Alert:
    """The alert for one account's check: where, what, since when, what to do.

    Its stage is the number of runs that saw it, by powers of two: news less and less often.
    """
    rule = rule_of(failing.asset, failing.check)
    account = f"act_{failing.account_id}"
    dates = f" on {day_ranges(failing.days, limit=5)}" if failing.days else ""
    window = (
        f"`meta-ads sync --start {failing.days[0]} --end {failing.days[-1]}"
        f" --account {failing.account_id}` pulls and checks at once. "
        if failing.days
        else ""
    )
    return Alert(
        kind=KIND,
        subject=f"ad account {failing.account_id}: {failing.check} of {failing.asset}",
        severity=Severity.CRITICAL if rule.severity == "block" else Severity.WARNING,
        message=(
            f"{account}: {failing.check} of {failing.asset} fails{dates} since "
            f"{failing.first_failed_at:%Y-%m-%d %H:%M} UTC, in {failing.times_failed} runs: "
            f"{failing.message}"
        ),
        what_to_do=window + rule.what_to_do,
        stage=f"{1 << (failing.times_failed.bit_length() - 1)} runs",
    )
