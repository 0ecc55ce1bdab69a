"""Gaps: what an account's history lacks, found without being told, however long an outage was.

The history of an account begins with its first date whose insights are done, or so many days
before the account was first seen as are asked for, and ends with its local yesterday. Within it
every asset has a slice for every date, and each is done. Its insights were pulled after the day
had ended (else the date is ``incomplete``), and once more when Meta no longer restates it (else it
is ``unsettled``): ``control.account_days`` says so. Reach, which may be left out, has a history of
its own, and ends a day earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES, REACH_TABLE
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

SLICED_ASSETS = (*INSIGHTS_TABLES, "campaigns", "adsets", "ads", "creatives")
REACH = REACH_TABLE.asset
MISSING, INCOMPLETE, UNSETTLED = "missing", "incomplete", "unsettled"
PULLED_BY_THEMSELVES = (MISSING, INCOMPLETE, UNSETTLED)
"""Gaps that nobody has asked for yet; the others failed, and have their time to be tried again."""
_THERE = ("done", "mismatched", "not_kept")
"""Mismatched ones are pulled, and pulled again by themselves; Meta no longer keeps the last."""


@dataclass(frozen=True)
class Gap:
    """Consecutive account-local dates, both included, that one asset of one account lacks.

    ``status`` is ``missing`` (never asked for), ``incomplete`` (last pulled before the day's end),
    ``unsettled`` (not pulled since it could settle), or the slices' own: ``failed``, ``parked``,
    ``running``.
    """

    account_id: str
    asset: str
    start: date
    end: date
    status: str

    @property
    def days(self) -> int:
        """How many dates it covers."""
        return (self.end - self.start).days + 1

    @property
    def dates(self) -> list[date]:
        """Every date, oldest first."""
        return [self.start + timedelta(days=n) for n in range(self.days)]


@dataclass(frozen=True)
class GapBatch:
    """What is asked for in one go: the dates of a window, for the accounts that lack some."""

    start: date
    end: date
    account_ids: tuple[str, ...]


def find_gaps(
    database: Database,
    now: datetime,
    only: Sequence[str] = (),
    *,
    with_reach: bool = True,
    new_account_days: int | None = None,
) -> list[Gap]:
    """All gaps of active accounts (of ``only``, where given), newest first.

    ``with_reach`` is whether reach is pulled at all. ``new_account_days`` is how many days before
    an account was first seen its insights are to go back; None: no further than they do.
    Raises ``DatabaseError`` when the server cannot be reached.
    """
    with database.connect() as connection:
        connection.execute("select set_config('meta_ads.now', %s, true)", [now.isoformat()])
        rows = connection.execute(
            sql("gaps"),
            {
                "now": now,
                "there": list(_THERE),
                "insights": list(INSIGHTS_TABLES),
                "assets": [*SLICED_ASSETS, *([REACH] if with_reach else [])],
                "reach": REACH,
                "missing": MISSING,
                "incomplete": INCOMPLETE,
                "unsettled": UNSETTLED,
                "only": list(only),
                "new_days": new_account_days,
            },
        ).fetchall()
    gaps = list(_runs(rows))
    return sorted(gaps, key=lambda gap: (-gap.end.toordinal(), gap.account_id, gap.asset))


def next_batch(gaps: Iterable[Gap], max_account_days: int) -> GapBatch | None:
    """The newest gaps that nobody has asked for, bounded; None when there is none.

    Those that failed have their own time to be tried again. The window ends with the newest
    missing date and covers at most ``max_account_days`` divided among the accounts that lack it.
    """
    missing = [gap for gap in gaps if gap.status in PULLED_BY_THEMSELVES]
    if not missing:
        return None
    end = max(gap.end for gap in missing)
    accounts = sorted({gap.account_id for gap in missing if gap.end == end})[:max_account_days]
    longest = max(1, max_account_days // len(accounts))
    start = end - timedelta(days=longest - 1)
    dates = [
        day for gap in missing if gap.account_id in accounts for day in gap.dates if day >= start
    ]
    return GapBatch(min(dates), end, tuple(accounts))


def _runs(rows: Sequence[dict[str, Any]]) -> Iterable[Gap]:
    """Consecutive dates of the same account, asset and status, as one gap each."""

    def place(numbered: tuple[int, dict[str, Any]]) -> tuple[Any, ...]:
        number, row = numbered
        return (row["account_id"], row["asset"], row["status"], row["day"].toordinal() - number)

    for (account_id, asset, status, _), group in groupby(enumerate(rows), key=place):
        days = [row["day"] for _, row in group]
        yield Gap(account_id, asset, days[0], days[-1], status)
