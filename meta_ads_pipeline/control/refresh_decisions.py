"""What the adaptive refresh decided: which past days to look at again, and what came of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from meta_ads_pipeline.control.database import Connection


@dataclass(frozen=True)
class Decision:
    """One account-local day of one account in one pass.

    ``expected_change`` is of ``expected_measure``, as a share of a usual day of it;
    ``expected_calls`` what reading the day on top of those chosen before it costs. Instants UTC.
    """

    account_id: str
    day: date
    last_pulled_at: datetime
    expected_change: float
    expected_measure: str | None
    expected_calls: float
    is_chosen: bool
    reason: str


@dataclass(frozen=True)
class Found:
    """What the first pull after a decision found; ``measure`` None: nothing had changed."""

    decision_id: int
    at: datetime
    change: float
    measure: str | None


def record(
    connection: Connection, pass_id: str, decided_at: datetime, decisions: Sequence[Decision]
) -> None:
    """Write down a pass. The same pass again changes nothing."""
    connection.cursor().executemany(
        "insert into control.refresh_decisions (pass_id, decided_at, account_id, partition_date,"
        "   last_pulled_at, expected_change, expected_measure, expected_calls, is_chosen, reason)"
        " values (%(pass_id)s, %(at)s, %(account_id)s, %(day)s, %(last_pulled_at)s,"
        "   %(expected_change)s, %(expected_measure)s, %(expected_calls)s, %(is_chosen)s,"
        "   %(reason)s)"
        " on conflict (pass_id, account_id, partition_date) do nothing",
        [{**vars(each), "pass_id": pass_id, "at": decided_at} for each in decisions],
    )


def chosen_days(connection: Connection, pass_id: str) -> Mapping[str, frozenset[date]]:
    """The days that a pass chose, by account id; an unknown pass chose none."""
    rows = connection.execute(
        "select account_id, partition_date from control.refresh_decisions"
        " where pass_id::text = %s and is_chosen",
        [pass_id],
    ).fetchall()
    days: defaultdict[str, set[date]] = defaultdict(set)
    for row in rows:
        days[row["account_id"]].add(row["partition_date"])
    return {account_id: frozenset(found) for account_id, found in days.items()}


def count_calls(connection: Connection, pass_id: str) -> None:
    """Note what the days of a pass have cost so far, from the slices done under it."""
    connection.execute(
        "update control.refresh_decisions as d set calls = s.calls"
        " from (select account_id, partition_date, sum(api_calls)::int as calls"
        "   from control.slices where sync_id = %(pass_id)s and status = 'done' group by 1, 2) as s"
        " where d.pass_id::text = %(pass_id)s and d.is_chosen and d.account_id = s.account_id"
        "   and d.partition_date = s.partition_date",
        {"pass_id": pass_id},
    )


def settle(connection: Connection, found: Iterable[Found]) -> None:
    """Note what was found."""
    connection.cursor().executemany(
        "update control.refresh_decisions set found_at = %(at)s, found_change = %(change)s,"
        " found_measure = %(measure)s where decision_id = %(decision_id)s",
        [vars(each) for each in found],
    )


def forget(connection: Connection, before: datetime) -> None:
    """Drop the decisions made before an instant."""
    connection.execute("delete from control.refresh_decisions where decided_at < %s", [before])
