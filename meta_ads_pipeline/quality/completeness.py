"""Completeness: every account of the run has its slice of every date that has begun.

This is where one account's failure turns red while the others go on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from meta_ads_pipeline.control.check_results import DayResult
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.quality.violations import MAX_CASES, day_ranges, table_of

_PULLED = ("done", "mismatched")  # mismatched ones are pulled; reconciliation speaks of them


@dataclass(frozen=True)
class MissingSlice:
    """A slice that should be done and is not. ``reason`` is in words, without secrets."""

    account_id: str
    partition_date: date
    reason: str
    attempts: int


@dataclass(frozen=True)
class Completeness:
    """What is missing of ``expected`` slices of one asset."""

    expected: int
    missing: Sequence[MissingSlice]
    looked_at: Sequence[tuple[str, date]] = ()

    @property
    def passed(self) -> bool:
        """Whether there was something to expect and all of it is there."""
        return self.expected > 0 and not self.missing

    def description(self) -> str:
        """The outcome in a sentence."""
        if not self.expected:
            return "no date of the run has begun for any active ad account"
        if not self.missing:
            return f"all {self.expected} slices are done"
        accounts = sorted({slice_.account_id for slice_ in self.missing})
        listed = ", ".join(f"act_{account}" for account in accounts[:5])
        more = f" and {len(accounts) - 5} more accounts" if len(accounts) > 5 else ""
        return f"{len(self.missing)} of {self.expected} slices are not done: {listed}{more}"

    def metadata(self) -> dict[str, Any]:
        """Counts; for a failure the accounts with their dates and reasons, and the bad days."""
        metadata: dict[str, Any] = {}
        if self.missing:
            metadata["bad_days"] = day_ranges(s.partition_date for s in self.missing)
            by_reason: dict[tuple[str, str], list[MissingSlice]] = defaultdict(list)
            for slice_ in self.missing:
                by_reason[slice_.account_id, slice_.reason].append(slice_)
            metadata["failing_accounts"] = table_of(
                {
                    "account": f"act_{account}",
                    "dates": day_ranges(s.partition_date for s in slices),
                    "reason": reason,
                    "attempts": max(s.attempts for s in slices),
                }
                for (account, reason), slices in list(by_reason.items())[:MAX_CASES]
            )
        return {
            **metadata,
            "slices_expected": self.expected,
            "slices_done": self.expected - len(self.missing),
        }

    def day_results(self) -> list[DayResult]:
        """One result for each account-day that was expected."""
        missing = {(s.account_id, s.partition_date): s for s in self.missing}
        return [
            DayResult(*account_day, "passed")
            if account_day not in missing
            else DayResult(
                *account_day,
                "failed",
                violations=1,
                observed=missing[account_day].reason,
                expected="a done slice",
                message=f"not pulled: {missing[account_day].reason}",
            )
            for account_day in self.looked_at
        ]


def check_completeness(database: Database, asset: str, scope: CheckScope) -> Completeness:
    """Compare what the scope expects with ``control.slices``.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    expected = scope.begun_slices()
    with database.connect() as connection:
        rows = connection.execute(
            "select e.account_id, e.day, s.status, s.attempts, s.error_kind, s.error_message"
            " from unnest(%(accounts)s::text[], %(days)s::date[]) as e (account_id, day)"
            " left join control.slices as s on s.account_id = e.account_id"
            "   and s.partition_date = e.day and s.asset = %(asset)s"
            " where s.status is null or s.status <> all(%(pulled)s)"
            " order by e.account_id, e.day",
            {
                "accounts": [account_id for account_id, _ in expected],
                "days": [day for _, day in expected],
                "asset": asset,
                "pulled": list(_PULLED),
            },
        ).fetchall()
    missing = [
        MissingSlice(row["account_id"], row["day"], _reason(row), row["attempts"] or 0)
        for row in rows
    ]
    return Completeness(len(expected), missing, expected)


def _reason(row: dict[str, Any]) -> str:
    if row["status"] is None:
        return "never pulled"
    said = ": ".join(part for part in (row["error_kind"], row["error_message"]) if part)
    if row["status"] == "running":
        return "still running, or its process was killed" + (f" (before: {said})" if said else "")
    return f"{row['status']}: {said}" if said else str(row["status"])
