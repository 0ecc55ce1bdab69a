"""What calls are waiting for right now: the cap of a token, a limit of Meta's. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)


@dataclass(frozen=True)
class Wait:
    """Calls of ``subject`` are held until the instant ``until`` (UTC); ``reason`` says by what."""

    subject: str
    reason: str
    until: datetime

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.subject}: {self.reason}; next call at {self.until:%Y-%m-%d %H:%M} UTC"


def current_waits(
    database: Database, rules: BudgetRules, now: datetime | None = None
) -> list[Wait]:
    """Every reason for which calls wait at the instant ``now``, the longest wait first."""
    at = now or datetime.now(UTC)
    waits = [*_caps(database, rules, at), *_blocks(database, at)]
    return sorted(waits, key=lambda wait: wait.until, reverse=True)


def _caps(database: Database, rules: BudgetRules, now: datetime) -> list[Wait]:
    """Connections that have used up their cap of calls in any hour."""
    with database.connect() as connection:
        rows = connection.execute(
            sql("own_caps"),
            {"now": now},
        ).fetchall()
    waits = []
    for row in rows:
        cap = rules.cap(row["tier"])
        until = row["first_minute"] + timedelta(minutes=61)
        if cap is not None and row["calls"] >= cap and until > now:
            waits.append(
                Wait(
                    f"connection {row['connection']}",
                    f"{row['calls']} of {cap} calls an hour are used (META_ADS_CALLS_PER_HOUR)",
                    until,
                )
            )
    return waits


def _blocks(database: Database, now: datetime) -> list[Wait]:
    """Limits that Meta has closed."""
    with database.connect() as connection:
        rows = connection.execute(
            "select app, account_id, use_case, block_code, blocked_until"
            " from control.call_budgets where blocked_until > %s",
            [now],
        ).fetchall()
    return [
        Wait(
            f"ad account act_{row['account_id']}" if row["account_id"] else f"app {row['app']}",
            f"Meta's limit is reached (code {row['block_code']})",
            row["blocked_until"],
        )
        for row in rows
    ]
