"""How fast pulls are: as measured in this database's earlier ones, else by experience."""

from __future__ import annotations

import math
from dataclasses import dataclass

from meta_ads_pipeline.control.database import Connection
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

SECONDS_PER_CALL = 1.5
SECONDS_PER_REPORT = 30.0
"""What Meta takes for a page and for a report, by experience; both vary a lot."""

LATEST_PULLS = 200


@dataclass(frozen=True)
class Speed:
    """What a pull of an account and asset takes, calls side by side, reports and landing included.

    ``calls`` is how many it was measured on; 0: none yet, the figures are assumptions.
    """

    calls: int = 0
    seconds_per_call: float = SECONDS_PER_CALL
    rows_per_second: float | None = None

    @property
    def is_measured(self) -> bool:
        """Whether it comes from earlier pulls."""
        return self.calls > 0

    @property
    def basis(self) -> str:
        """Where the figures come from, for people."""
        if not self.is_measured:
            return (
                f"assumed: {SECONDS_PER_CALL:g} s a call, {SECONDS_PER_REPORT:g} s a report; "
                "no earlier pull to measure"
            )
        rows = f", {self.rows_per_second:,.0f} rows a second" if self.rows_per_second else ""
        return (
            f"measured on {self.calls:,} calls of earlier pulls: "
            f"{self.seconds_per_call:.2f} s a call{rows}"
        )

    def seconds(self, calls: int, rows: int, reports: int, readers: int) -> float:
        """Time expected for an account's pulls, one asset after the other."""
        if not self.is_measured:
            waiting = SECONDS_PER_REPORT * math.ceil(reports / readers)
            return SECONDS_PER_CALL * math.ceil(calls / readers) + waiting
        by_rows = rows / self.rows_per_second if self.rows_per_second else 0.0
        return max(self.seconds_per_call * calls, by_rows)


def measured_speed(connection: Connection) -> Speed:
    """From the latest pulls of any account: from their claim to the landing of their last slice."""
    row = connection.execute(
        sql("measured_speed"),
        {"pulls": LATEST_PULLS},
    ).fetchone()
    if row is None or not row["calls"] or not row["seconds"] or row["seconds"] <= 0:
        return Speed()
    rows = row["rows"] or 0.0
    return Speed(
        row["calls"], row["seconds"] / row["calls"], rows / row["seconds"] if rows else None
    )
