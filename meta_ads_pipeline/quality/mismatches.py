"""What follows from pulls that disagree: their slices are pulled again, later and later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from meta_ads_pipeline.control.check_results import blocked_days
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.quality.outcome import CheckOutcome
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

FIRST_RETRY = timedelta(minutes=15)
LONGEST_RETRY = timedelta(days=1)
NOT_THERE = "all three pulls are there"
"""The rule of account-days with nothing to compare: those are gaps, not mismatches."""


def mark_mismatches(database: Database, outcome: CheckOutcome, scope: CheckScope) -> None:
    """Mark the slices of account-days whose pulls disagree; those that agree again are done.

    What another check holds back has been marked by the gate, and is pulled again all the same.
    Raises ``DatabaseError`` when the server cannot be reached.
    """
    reasons: dict[tuple[str, date], list[str]] = defaultdict(list)
    for finding in outcome.findings:
        if finding.event_date is not None and not finding.is_warning and finding.rule != NOT_THERE:
            reasons[finding.account_id, finding.event_date].append(finding.sentence)
    window = scope.window
    held = blocked_days(database, scope.account_ids, window.start, window.end)
    agreed = [
        (result.account_id, result.event_date)
        for result in outcome.days
        if result.status != "failed"
        and result.event_date is not None
        and (result.account_id, result.event_date) not in held
    ]
    update_slices(database, {day: "; ".join(said) for day, said in reasons.items()}, agreed)


def update_slices(
    database: Database,
    mismatched: Mapping[tuple[str, date], str],
    agreed: Sequence[tuple[str, date]],
    assets: Sequence[str] = tuple(INSIGHTS_TABLES),
) -> None:
    """Have mismatched account-days pulled again, after a delay that doubles with every attempt.

    Those that agree are done again. Slices that are running or failed are left alone, and a
    second evaluation of the same pulls changes nothing. ``attempts`` counts since the slice was
    last done, so a mismatch that persists waits longer each time.
    """
    with database.connect() as connection:
        connection.execute(
            sql("mark_mismatched"),
            {
                "accounts": [account for account, _ in mismatched],
                "days": [day for _, day in mismatched],
                "reasons": list(mismatched.values()),
                "assets": list(assets),
                "first": FIRST_RETRY,
                "longest": LONGEST_RETRY,
            },
        )
        connection.execute(
            sql("mark_agreed"),
            {
                "accounts": [account for account, _ in agreed],
                "days": [day for _, day in agreed],
                "assets": list(assets),
            },
        )
