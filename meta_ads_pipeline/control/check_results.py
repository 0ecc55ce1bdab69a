"""What each check found per account and day: kept, counted while it fails, read back.

A passing result clears what says since when and how often a check fails, and keeps when it last
did. The same run looks once, however often its checks are evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

Status = Literal["passed", "warned", "failed"]
Severity = Literal["block", "warn", "inform"]
AccountDay = tuple[str, date | None]

_LONGEST_TEXT = 500


@dataclass(frozen=True)
class DayResult:
    """What a check found on one account-local date, or (without a date) in an account's entities.

    ``observed`` and ``expected`` are short texts for a person, ``message`` a sentence; none may
    hold a secret. ``violations`` counts the rows or measures that break the rule.
    """

    account_id: str
    event_date: date | None
    status: Status
    violations: int = 0
    observed: str | None = None
    expected: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class FailingCheck:
    """A check that has not passed for a while; instants are UTC, ``days`` in order."""

    account_id: str
    asset: str
    check: str
    severity: Severity
    days: tuple[date, ...]
    times_failed: int
    first_failed_at: datetime
    message: str


def record_results(
    database: Database,
    check: tuple[str, str],
    severity: Severity,
    results: Sequence[DayResult],
    *,
    run_id: str,
    at: datetime | None = None,
) -> None:
    """Keep the results of one check, ``(asset, name)``, in one statement.

    ``at`` (UTC, now by default) is when it looked; an older look never replaces a newer one.
    Raises ``DatabaseError`` when the server cannot be reached.
    """
    if not results:
        return
    with database.connect() as connection:
        connection.execute(
            sql("record_check_results"),
            {
                "asset": check[0],
                "check": check[1],
                "severity": severity,
                "run": run_id,
                "at": at or datetime.now(UTC),
                "accounts": [result.account_id for result in results],
                "days": [result.event_date for result in results],
                "statuses": [result.status for result in results],
                "violations": [result.violations for result in results],
                "observed": [_short(result.observed) for result in results],
                "expected": [_short(result.expected) for result in results],
                "messages": [_short(result.message) for result in results],
            },
        )


def blocked_days(
    database: Database, account_ids: Sequence[str], first: date, last: date
) -> dict[tuple[str, date], str]:
    """The account-days from ``first`` to ``last`` that landed rows keep out of the facts, and why.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    with database.connect() as connection:
        rows = connection.execute(
            sql("blocked_days"),
            {"accounts": list(account_ids), "first": first, "last": last},
        ).fetchall()
    return {(row["account_id"], row["event_date"]): row["reason"] for row in rows}


@dataclass(frozen=True)
class OpenResult:
    """A result that is not passed, as the last look left it."""

    account_id: str
    event_date: date | None
    status: Status
    message: str | None


def open_results(
    database: Database, check: tuple[str, str], warned_since: date
) -> list[OpenResult]:
    """What one check, ``(asset, name)``, last found wrong with active accounts, oldest date first.

    Failures of any date; warnings since ``warned_since`` only, for nobody takes them back. Raises
    ``DatabaseError`` when the server cannot be reached.
    """
    with database.connect() as connection:
        rows = connection.execute(
            sql("open_results"),
            {"asset": check[0], "check": check[1], "warned_since": warned_since},
        ).fetchall()
    return [OpenResult(**row) for row in rows]


def failing_checks(
    database: Database, *, looks: int = 1, span: timedelta = timedelta(0)
) -> list[FailingCheck]:
    """Failed checks of active accounts, seen on ``looks`` runs in a row over at least ``span``.

    One for each account, asset and check, with all its dates of that kind. Warnings, and what
    only informs, are left out. Raises ``DatabaseError`` when the server cannot be reached.
    """
    with database.connect() as connection:
        rows = connection.execute(
            sql("failing_checks"),
            {"looks": looks, "span": span},
        ).fetchall()
    return [FailingCheck(**{**row, "days": tuple(row["days"] or ())}) for row in rows]


def _short(text: str | None) -> str | None:
    if text is None or len(text) <= _LONGEST_TEXT:
        return text
    return text[: _LONGEST_TEXT - 3] + "..."
