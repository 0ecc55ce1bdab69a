"""Anomalies: what ``marts.anomalies`` found on the run's dates, as a warning a person can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.quality.violations import MAX_CASES, day_ranges, markdown_table


@dataclass(frozen=True)
class AnomalyReport:
    """The scope's anomalies, the most unusual first."""

    rows: Sequence[Mapping[str, Any]]

    @property
    def passed(self) -> bool:
        """Whether nothing unusual happened."""
        return not self.rows

    def description(self) -> str:
        """The outcome in a sentence: the most unusual one's own."""
        if not self.rows:
            return "nothing unusual"
        more = len(self.rows) - 1
        return str(self.rows[0]["sentence"]) + (f"; {more} more" if more else "")

    def metadata(self) -> dict[str, Any]:
        """Counts by kind, the most unusual ones, the days."""
        metadata: dict[str, Any] = {"anomalies": len(self.rows)}
        if self.rows:
            kinds = Counter(row["kind"] for row in self.rows)
            metadata |= {f"anomalies_{kind}": n for kind, n in sorted(kinds.items())}
            metadata["most_unusual"] = markdown_table(
                {
                    "account": f"act_{row['account_id']}",
                    "date": row["event_date"],
                    "what": row["sentence"],
                    "score": row["score"],
                }
                for row in self.rows[:MAX_CASES]
            )
            metadata["days"] = day_ranges(row["event_date"] for row in self.rows)
        return metadata


def check_anomalies(database: Database, scope: CheckScope) -> AnomalyReport:
    """Read the scope's anomalies. Raises ``DatabaseError`` when the server cannot be reached."""
    with database.connect() as connection:
        rows = connection.execute(
            "select account_id, event_date, kind, sentence, score from marts.anomalies"
            " where account_id = any(%s) and event_date between %s and %s"
            " order by abs(score) desc nulls last, anomaly_key",
            [scope.account_ids, scope.window.start, scope.window.end],
        ).fetchall()
    return AnomalyReport(rows)
