"""Reconciliation: do the three pulls of every account-day agree?

``marts.reconciliation`` compares them, and in the same dbt run ``marts.metric_facts`` holds back
the account-days that do not agree. This check turns them red, proves by its own arithmetic that
what is called reconciled is, and has what differs pulled again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pandera.pandas as pa

from meta_ads_pipeline.control.check_results import DayResult, blocked_days
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.quality.violations import (
    MAX_CASES,
    Violations,
    day_ranges,
    table_of,
)

RECONCILED_ASSETS = ("insights_hourly", "insights_daily", "account_totals")
DELIVERY = ("spend", "impressions", "clicks", "link_clicks")
MEASURES = (*DELIVERY, "purchases", "revenue", "leads")
FIRST_RETRY = timedelta(minutes=15)
LONGEST_RETRY = timedelta(days=1)
_AGREES = ("reconciled", "within_tolerance")
_CENT = Decimal("0.01")

AccountDay = tuple[str, date]


class ReconciliationRow(pa.DataFrameModel):
    """``marts.reconciliation``: account x day x measure. Totals are exact decimals."""

    account_id: str
    event_date: object
    measure: str = pa.Field(isin=MEASURES, description="the measure is a known one")
    status: str = pa.Field(isin=_AGREES, description="the three pulls agree")
    is_honest: bool = pa.Field(
        eq=True, description="what is called agreeing differs by no more than it may"
    )

    class Config:
        """One row per account, day and measure."""

        strict = "filter"
        unique = ["account_id", "event_date", "measure"]  # noqa: RUF012 - Pandera's own form


@dataclass
class Reconciliation:
    """The outcome. ``statuses`` counts account-days by the worst status of their measures."""

    violations: Violations
    statuses: Counter[str] = field(default_factory=Counter)
    mismatched: dict[AccountDay, str] = field(default_factory=dict)
    agreed: list[AccountDay] = field(default_factory=list)
    absent: list[AccountDay] = field(default_factory=list)
    worst: list[Mapping[str, Any]] = field(default_factory=list)
    days: dict[AccountDay, DayResult] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every account-day is there and agrees."""
        return self.violations.passed and not self.absent

    def description(self) -> str:
        """The outcome in a sentence."""
        total = sum(self.statuses.values())
        good = sum(self.statuses[status] for status in _AGREES)
        said = f"{good} of {total} account-days agree across the three pulls"
        if self.worst:
            worst = self.worst[0]
            said += (
                f"; most off: {worst['account']} on {worst['date']}, {worst['measure']}"
                f" {worst['off by'] or worst['note']}"
            )
        return said + (f"; {len(self.absent)} pulled ones are missing" if self.absent else "")

    def metadata(self) -> dict[str, Any]:
        """Account-days by status; for a failure also the worst ones, the rules, the bad days."""
        metadata: dict[str, Any] = {}
        bad_days = self.violations.days | {day for _, day in self.absent}
        if bad_days:
            metadata["bad_days"] = day_ranges(bad_days)
        if self.worst:
            metadata["worst_account_days"] = table_of(self.worst)
        metadata |= {f"account_days_{status}": n for status, n in sorted(self.statuses.items())}
        metadata |= {
            name: value
            for name, value in self.violations.metadata().items()
            # The rules in words say less than the totals side by side; examples repeat them.
            if name == "rows_checked" or (name == "broken_rules" and not self.worst)
        }
        if self.absent:
            metadata["missing_account_days"] = table_of(
                {"account": f"act_{account}", "date": day}
                for account, day in self.absent[:MAX_CASES]
            )
        return metadata

    def day_results(self) -> list[DayResult]:
        """One result for each account-day that was compared, or should have been."""
        missing = [
            DayResult(
                *account_day,
                "failed",
                1,
                "nothing, or not every measure",
                "three pulls side by side",
                "pulled, but not compared: the marts were not built after it",
            )
            for account_day in self.absent
            if account_day not in self.days
        ]
        return [*self.days.values(), *missing]


def check_reconciliation(database: Database, scope: CheckScope) -> Reconciliation:
    """Judge the scope's rows of ``marts.reconciliation`` and update the slices' states.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    rows = _read(database, scope)
    outcome = judge(rows, _pulled(database, scope))
    window = scope.window
    held = blocked_days(database, scope.account_ids, window.start, window.end)
    # What another check holds back has been marked by the gate, and is pulled again all the same.
    agreed = [account_day for account_day in outcome.agreed if account_day not in held]
    update_slices(database, outcome.mismatched, agreed)
    return outcome


def judge(rows: Sequence[Mapping[str, Any]], pulled: Sequence[AccountDay]) -> Reconciliation:
    """What rows of ``marts.reconciliation`` say about the ``pulled`` account-days. Pure."""
    outcome = Reconciliation(Violations())
    if rows:
        frame = pd.DataFrame([{**row, "is_honest": is_honest(row)} for row in rows])
        key = ("account_id", "event_date", "measure")
        outcome.violations.add(ReconciliationRow, frame, key)
    by_day: dict[AccountDay, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_day.setdefault((row["account_id"], row["event_date"]), []).append(row)
    for account_day, measures in by_day.items():
        status = max((row["status"] for row in measures), key=_badness)
        outcome.statuses[status] += 1
        outcome.days[account_day] = _day_result(account_day, measures)
        if status == "mismatch" or not all(is_honest(row) for row in measures):
            outcome.mismatched[account_day] = "; ".join(
                f"{row['measure']}: {row['reason'] or row['delta']}"
                for row in measures
                if row["status"] == "mismatch" or not is_honest(row)
            )
        elif status in _AGREES:
            outcome.agreed.append(account_day)
    complete = {day for day, measures in by_day.items() if len(measures) >= len(MEASURES)}
    outcome.absent = sorted(set(pulled) - complete)
    bad = [row for row in rows if row["status"] not in _AGREES or not is_honest(row)]
    bad.sort(key=_relative_delta, reverse=True)
    outcome.worst = [_shown(row) for row in bad[:MAX_CASES]]
    return outcome


def is_honest(row: Mapping[str, Any]) -> bool:
    """Whether a row that is called agreeing differs by no more than it may.

    Recomputed from the totals: nothing for ``reconciled`` (to the cent), the row's own tolerance
    for ``within_tolerance``. Rows of another status claim nothing.
    """
    if row["status"] not in _AGREES:
        return True
    if row["ad_daily_total"] is None or row["account_total"] is None:
        return False
    totals = [row["ad_daily_total"], row["hourly_total"]]
    distance = max(abs(t - row["account_total"]) for t in totals if t is not None)
    if row["status"] == "reconciled":
        return bool(distance < _CENT)
    return bool(distance <= row["tolerance"]) and not row["is_settled"]


def update_slices(
    database: Database,
    mismatched: Mapping[AccountDay, str],
    agreed: Sequence[AccountDay],
    assets: Sequence[str] = RECONCILED_ASSETS,
) -> None:
    """Have mismatched account-days pulled again, after a delay that doubles with every attempt.

    Those that agree are done again. Slices that are running or failed are left alone, and a
    second evaluation of the same pulls changes nothing. ``attempts`` counts since the slice was
    last done, so a mismatch that persists waits longer each time.
    """
    with database.connect() as connection:
        connection.execute(
            "update control.slices as s set status = 'mismatched', error_kind = 'mismatch',"
            "   error_message = left(m.reason, 2000),"
            "   next_attempt_at = clock_timestamp() + least(%(longest)s,"
            "     %(first)s * power(2, least(greatest(s.attempts, 1), 12) - 1))"
            " from unnest(%(accounts)s::text[], %(days)s::date[], %(reasons)s::text[])"
            "   as m (account_id, day, reason)"
            " where s.account_id = m.account_id and s.partition_date = m.day"
            "   and s.asset = any(%(assets)s) and s.status = 'done'",
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
            "update control.slices as s set status = 'done', error_kind = null,"
            "   error_message = null, next_attempt_at = null"
            " from unnest(%(accounts)s::text[], %(days)s::date[]) as m (account_id, day)"
            " where s.account_id = m.account_id and s.partition_date = m.day"
            "   and s.asset = any(%(assets)s) and s.status = 'mismatched'",
            {
                "accounts": [account for account, _ in agreed],
                "days": [day for _, day in agreed],
                "assets": list(assets),
            },
        )


def _read(database: Database, scope: CheckScope) -> list[dict[str, Any]]:
    with database.connect() as connection:
        return connection.execute(
            "select account_id, event_date, measure, hourly_total, ad_daily_total, account_total,"
            "   delta, status, tolerance, reason, is_settled"
            " from marts.reconciliation"
            " where account_id = any(%s) and event_date between %s and %s"
            " order by account_id, event_date, measure",
            [scope.account_ids, scope.window.start, scope.window.end],
        ).fetchall()


def _pulled(database: Database, scope: CheckScope) -> list[AccountDay]:
    """The account-days whose three pulls are all there: each must have been compared."""
    with database.connect() as connection:
        rows = connection.execute(
            "select account_id, partition_date from control.slices"
            " where account_id = any(%s) and partition_date between %s and %s"
            "   and asset = any(%s) and status in ('done', 'mismatched')"
            " group by account_id, partition_date having count(*) = %s",
            [
                *(scope.account_ids, scope.window.start, scope.window.end),
                *(list(RECONCILED_ASSETS), len(RECONCILED_ASSETS)),
            ],
        ).fetchall()
    return [(row["account_id"], row["partition_date"]) for row in rows]


def _day_result(account_day: AccountDay, measures: Sequence[Mapping[str, Any]]) -> DayResult:
    bad = [row for row in measures if row["status"] not in _AGREES or not is_honest(row)]
    if not bad:
        return DayResult(*account_day, "passed")
    worst = max(bad, key=_relative_delta)
    return DayResult(
        *account_day,
        "failed",
        violations=len(bad),
        observed=(
            f"{worst['measure']}: "
            + (f"hours {_told(worst['hourly_total'])}, " if worst["measure"] in DELIVERY else "")
            + f"ad days {_told(worst['ad_daily_total'])}"
        ),
        expected=f"account total {_told(worst['account_total'])}",
        message="; ".join(f"{row['measure']}: {row['reason'] or row['delta']}" for row in bad),
    )


def _told(total: Decimal | None) -> str:
    return "not there" if total is None else f"{total:,}"


def _badness(status: str) -> int:
    order = ("reconciled", "within_tolerance", "incomplete", "mismatch")
    return order.index(status) if status in order else len(order)


def _relative_delta(row: Mapping[str, Any]) -> Decimal:
    delta, total = abs(row["delta"] or Decimal(0)), abs(row["account_total"] or Decimal(0))
    return Decimal(delta) / max(Decimal(total), Decimal(1))


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "account": f"act_{row['account_id']}",
        "date": row["event_date"],
        "measure": row["measure"],
        # Conversions have no hours: nothing is missing there.
        "hours": _told(row["hourly_total"]) if row["measure"] in DELIVERY else "",
        "ad days": _told(row["ad_daily_total"]),
        "account total": _told(row["account_total"]),
        "off by": _off_by(row),
        "note": _note(row),
    }


def _note(row: Mapping[str, Any]) -> str:
    """What the totals side by side do not say."""
    if not is_honest(row):
        return f"called {row['status']}, but it is not"
    parts = (row["reason"] or row["status"]).split("; ")
    return "; ".join(part for part in parts if "off the account total" not in part)


def _off_by(row: Mapping[str, Any]) -> str:
    if row["delta"] is None:
        return ""
    if not row["account_total"]:
        return f"{row['delta']:+,}"
    return f"{row['delta']:+,} ({row['delta'] / row['account_total']:+.1%})"
