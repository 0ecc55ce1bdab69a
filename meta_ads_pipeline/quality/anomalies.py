"""Anomalies: what ``marts.anomalies`` found on the run's dates, as a warning a person can read.

Never blocks. What has its reason (delivery stopped because the ads were paused) or is good news is
shown beside it and warns of nothing; what later numbers took back is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.quality.violations import (
    MAX_CASES,
    Violations,
    day_ranges,
    table_of,
)


class AnomalyRow(pa.DataFrameModel):
    """An open row of ``marts.anomalies``."""

    severity: str = pa.Field(eq="inform", description="nothing unusual that needs a person")
    is_honest: bool = pa.Field(
        eq=True, description="what is called unusual lies outside its own range"
    )

    class Config:
        """One row per anomaly."""

        strict = "filter"


@dataclass(frozen=True)
class AnomalyReport:
    """The scope's open anomalies: those to warn of, the most unusual first, and the others."""

    rows: Sequence[Mapping[str, Any]]
    informed: Sequence[Mapping[str, Any]] = ()
    violations: Violations = field(default_factory=Violations)

    @property
    def passed(self) -> bool:
        """Whether nothing happened that a person should look at."""
        return self.violations.passed

    def description(self) -> str:
        """The outcome in a sentence: the most unusual one's own."""
        if self.rows:
            more = len(self.rows) - 1
            return str(self.rows[0]["sentence"]) + (f"; {more} more" if more else "")
        if not self.passed:
            return self.violations.description("anomalies")
        return "nothing unusual" + (
            f"; {len(self.informed)} for information" if self.informed else ""
        )

    def metadata(self) -> dict[str, Any]:
        """Counts by kind, the most unusual ones, what is only for information, the days."""
        metadata: dict[str, Any] = {"anomalies": len(self.rows)}
        if self.rows:
            kinds = Counter(row["kind"] for row in self.rows)
            metadata |= {f"anomalies_{kind}": n for kind, n in sorted(kinds.items())}
            metadata["most_unusual"] = _table(self.rows)
            metadata["days"] = day_ranges(row["event_date"] for row in self.rows)
        if self.informed:
            metadata["for_information"] = _table(self.informed)
        return metadata


def check_anomalies(database: Database, scope: CheckScope) -> AnomalyReport:
    """Read and judge the scope's anomalies.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    with database.connect() as connection:
        rows = connection.execute(
            "select anomaly_key, account_id, event_date, kind, value, expected, expected_low,"
            "   expected_high, score, sentence, coalesce(severity, 'warn') as severity"
            " from marts.anomalies"
            " where account_id = any(%s) and event_date <= %s"
            "   and coalesce(last_date, event_date) >= %s and status is distinct from 'resolved'"
            " order by abs(score) desc nulls last, anomaly_key",
            [scope.account_ids, scope.window.end, scope.window.start],
        ).fetchall()
    return judge(rows)


def judge(rows: Sequence[Mapping[str, Any]]) -> AnomalyReport:
    """What open rows of ``marts.anomalies`` say. Pure."""
    violations = Violations()
    if rows:
        frame = pd.DataFrame([{**row, "is_honest": is_honest(row)} for row in rows])
        violations.add(AnomalyRow, frame, ("account_id", "event_date", "anomaly_key"))
    warned = [row for row in rows if row["severity"] != "inform"]
    informed = [row for row in rows if row["severity"] == "inform"]
    return AnomalyReport(warned, informed, violations)


def is_honest(row: Mapping[str, Any]) -> bool:
    """Whether the value lies outside the range inside of which nothing would be reported."""
    value, low, high = row["value"], row["expected_low"], row["expected_high"]
    if value is None or high is None:
        return True
    return bool(value > high or (low is not None and value < low))


def _table(rows: Iterable[Mapping[str, Any]]) -> dg.MetadataValue[Any]:
    shown = list(rows)[:MAX_CASES]
    return table_of(
        {
            "account": f"act_{row['account_id']}",
            "date": row["event_date"],
            "what": row["sentence"],
            "usual": _range(row),
            "score": row["score"],
        }
        for row in shown
    )


def _range(row: Mapping[str, Any]) -> str | None:
    low, high = row["expected_low"], row["expected_high"]
    if high is None:
        return None
    return f"up to {high:,.2f}" if low is None else f"{low:,.2f} to {high:,.2f}"
