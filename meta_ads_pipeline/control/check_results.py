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
            "insert into control.check_results as r (account_id, event_date, asset, check_name,"
            "   status, severity, violations, observed, expected, message, run_id,"
            "   first_failed_at, last_failed_at, last_checked_at, times_failed)"
            " select account_id, event_date, %(asset)s, %(check)s, status, %(severity)s,"
            "   violations, observed, expected, message, %(run)s,"
            "   case when status <> 'passed' then %(at)s end,"
            "   case when status <> 'passed' then %(at)s end, %(at)s,"
            "   case when status <> 'passed' then 1 else 0 end"
            " from unnest(%(accounts)s::text[], %(days)s::date[], %(statuses)s::text[],"
            "   %(violations)s::bigint[], %(observed)s::text[], %(expected)s::text[],"
            "   %(messages)s::text[]) as new"
            "   (account_id, event_date, status, violations, observed, expected, message)"
            # Always in one order: two runs that look at the same days never wait in a circle.
            " order by account_id, event_date"
            " on conflict (account_id, event_date, asset, check_name) do update set"
            "   status = excluded.status, severity = excluded.severity,"
            "   violations = excluded.violations, observed = excluded.observed,"
            "   expected = excluded.expected, message = excluded.message,"
            "   run_id = excluded.run_id, last_checked_at = excluded.last_checked_at,"
            "   first_failed_at = case when excluded.status <> 'passed'"
            "     then coalesce(r.first_failed_at, excluded.first_failed_at) end,"
            "   last_failed_at = coalesce(excluded.last_failed_at, r.last_failed_at),"
            "   times_failed = case when excluded.status = 'passed' then 0"
            "     when r.run_id = excluded.run_id and r.status <> 'passed' then r.times_failed"
            "     else r.times_failed + 1 end"
            " where r.last_checked_at <= excluded.last_checked_at",
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
            "select account_id, event_date,"
            "   string_agg(asset || ' ' || check_name || ': ' || coalesce(message, ''), '; '"
            "     order by asset, check_name) as reason"
            f" from control.check_results where {HOLDS_BACK}"
            "   and account_id = any(%s) and event_date between %s and %s group by 1, 2",
            [list(account_ids), first, last],
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
            "select r.account_id, r.event_date, r.status, r.message"
            " from control.check_results as r"
            " join control.ad_accounts as a on a.account_id = r.account_id and a.is_active"
            " where r.asset = %s and r.check_name = %s and r.status <> 'passed'"
            "   and (r.status = 'failed' or r.event_date is null or r.event_date >= %s)"
            " order by r.event_date, r.account_id",
            [*check, warned_since],
        ).fetchall()
    return [OpenResult(**row) for row in rows]


HOLDS_BACK = "status = 'failed' and severity = 'block' and asset like 'raw/%%'"
"""SQL: results that hold their account-day out of the facts; dbt's gate has the same condition.

Only of landed rows: what is compared in the marts is judged anew by each build.
"""


def failing_checks(
    database: Database, *, looks: int = 1, span: timedelta = timedelta(0)
) -> list[FailingCheck]:
    """Failed checks of active accounts, seen on ``looks`` runs in a row over at least ``span``.

    One for each account, asset and check, with all its dates of that kind. Warnings, and what
    only informs, are left out. Raises ``DatabaseError`` when the server cannot be reached.
    """
    with database.connect() as connection:
        rows = connection.execute(
            "select r.account_id, r.asset, r.check_name as check, min(r.severity) as severity,"
            "   array_agg(r.event_date order by r.event_date)"
            "     filter (where r.event_date is not null) as days,"
            "   max(r.times_failed) as times_failed, min(r.first_failed_at) as first_failed_at,"
            "   (array_agg(coalesce(r.message, r.check_name)"
            "     order by r.times_failed desc, r.event_date desc))[1] as message"
            " from control.check_results as r"
            " join control.ad_accounts as a on a.account_id = r.account_id and a.is_active"
            " where r.status <> 'passed' and r.status = 'failed' and r.severity <> 'inform'"
            "   and r.times_failed >= %s and r.last_failed_at - r.first_failed_at >= %s"
            " group by 1, 2, 3 order by 1, 2, 3",
            [looks, span],
        ).fetchall()
    return [FailingCheck(**{**row, "days": tuple(row["days"] or ())}) for row in rows]


def _short(text: str | None) -> str | None:
    if text is None or len(text) <= _LONGEST_TEXT:
        return text
    return text[: _LONGEST_TEXT - 3] + "..."
