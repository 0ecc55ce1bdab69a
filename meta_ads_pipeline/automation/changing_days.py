"""Which past days to look at again between two daily refreshes, bounded by the call budget.

Once a day the whole window of 28 days is read, whatever is expected: nothing that Meta changes
stays unseen for longer. In between, days are read again only where what is expected to have changed
since their last pull is worth the calls. Young days change fast and old ones hardly, accounts
differ, and in one call come as many days as fit on a page: so the days of an account are taken in
the order of what they promise for a call, as long as each further call is worth its price.
"""

from __future__ import annotations

import math
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from meta_ads_pipeline.control import refresh_decisions
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.refresh_decisions import Decision
from meta_ads_pipeline.control.slices import SliceKey
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.meta_api.request_planner import PlanLimits
from meta_ads_pipeline.rate_limit.limits import BudgetRules, hourly_limit
from meta_ads_pipeline.rate_limit.priority import Priority
from meta_ads_pipeline.raw.change_rates import ChangeRates, change_rates, closed_at, found_since
from meta_ads_pipeline.raw.expected_rows import expected_rows_per_day
from meta_ads_pipeline.raw.pull_insights import consecutive_windows
from meta_ads_pipeline.windows import SETTLED_AFTER_DAYS, DateWindow, local_today

WORTH_A_CALL = 0.03
"""What a call must promise to find: three hundredths of a usual day of some measure."""

LEAST_CHANGE = 0.0005
"""A day that promises less is left alone even where it would cost no call."""

REMEMBERED = timedelta(days=60)

CHOSEN = "worth its calls"
TOO_LITTLE = "hardly anything can have changed"
NOT_WORTH = "not worth a call yet"
NO_CALLS = "no calls left for it"


@dataclass(frozen=True)
class Candidate:
    """An account-local day that Meta may still restate. ``correction_chance``: of its hours."""

    account_id: str
    day: date
    last_pulled_at: datetime
    expected_change: float
    expected_measure: str | None
    correction_chance: float


@dataclass(frozen=True)
class ReadingCost:
    """What the days of one account take: rows a day, and rows that come in one call."""

    daily_rows: float
    hourly_rows: float
    page_size: int = PlanLimits.page_size

    def calls(self, days: Collection[Candidate]) -> float:
        """Calls expected: the days and totals by window, the hours of those that were corrected."""
        pages = 0.0
        for window in consecutive_windows([each.day for each in days]):
            pages += max(1, math.ceil(self.daily_rows * len(window.dates) / self.page_size)) + 1
        hours = max(1, math.ceil(self.hourly_rows / self.page_size))
        return pages + hours * sum(each.correction_chance for each in days)


@dataclass(frozen=True)
class Headroom:
    """Calls that a pass may make for one account; where there are none, why."""

    calls: float
    reason: str = NO_CALLS


def choose(
    candidates: Iterable[Candidate],
    costs: Mapping[str, ReadingCost],
    headroom: Mapping[str, Headroom],
    *,
    calls: float = math.inf,
    worth: float = WORTH_A_CALL,
) -> list[Decision]:
    """Decide on every candidate; the chosen days cost ``calls`` at most in all.

    Accounts whose days promise most for a call come first.
    """
    by_account: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_account[candidate.account_id].append(candidate)
    queues = {
        account_id: _by_promise(days, costs[account_id]) for account_id, days in by_account.items()
    }

    def promise(account_id: str) -> float:
        best = _worthwhile(queues[account_id], headroom[account_id].calls, worth)
        spent = sum(cost for _, cost in best)
        return sum(each.expected_change for each, _ in best) / spent if spent else 0.0

    decisions = []
    for account_id in sorted(by_account, key=lambda each: (-promise(each), each)):
        room = headroom[account_id]
        taken = _worthwhile(queues[account_id], min(room.calls, calls), worth)
        calls -= sum(cost for _, cost in taken)
        wanted = len(_worthwhile(queues[account_id], math.inf, worth))
        for place, (each, cost) in enumerate(queues[account_id]):
            if place < len(taken):
                reason = CHOSEN
            elif place < wanted:
                reason = room.reason if room.calls <= 0 else NO_CALLS
            else:
                reason = NOT_WORTH
            decisions.append(_decision(each, cost, reason))
        for each in by_account[account_id]:
            if each.expected_change < LEAST_CHANGE:
                decisions.append(_decision(each, 0.0, TOO_LITTLE))
    return decisions


def _by_promise(days: Sequence[Candidate], cost: ReadingCost) -> list[tuple[Candidate, float]]:
    """The days in the order in which they are best added, each with the calls that it adds."""
    left = [each for each in days if each.expected_change >= LEAST_CHANGE]
    queue: list[tuple[Candidate, float]] = []
    taken: list[Candidate] = []
    spent = 0.0
    while left:
        added = {each.day: cost.calls([*taken, each]) - spent for each in left}
        # A day between two others may even save a call: then it comes first.
        best = max(
            left, key=lambda each: (each.expected_change / max(added[each.day], 0.01), each.day)
        )
        left.remove(best)
        taken.append(best)
        spent += added[best.day]
        queue.append((best, added[best.day]))
    return queue


def _worthwhile(
    queue: Sequence[tuple[Candidate, float]], calls: float, worth: float
) -> list[tuple[Candidate, float]]:
    """The beginning of the queue that promises most beyond the price of its calls."""
    best = 0
    gain = spent = most = 0.0
    for length, (candidate, cost) in enumerate(queue, start=1):
        spent += cost
        if spent > calls:
            break
        gain += candidate.expected_change - worth * cost
        if gain > most:
            most, best = gain, length
    return list(queue[:best])


def _decision(candidate: Candidate, cost: float, reason: str) -> Decision:
    return Decision(
        candidate.account_id,
        candidate.day,
        candidate.last_pulled_at,
        candidate.expected_change,
        candidate.expected_measure,
        cost,
        reason == CHOSEN,
        reason,
    )


@dataclass(frozen=True)
class RefreshPass:
    """What a pass decided, and under which id: the sync id of the run that it asks for."""

    pass_id: str
    decisions: Sequence[Decision]

    @property
    def chosen(self) -> Mapping[str, list[date]]:
        """The chosen days, oldest first, by account id."""
        days: defaultdict[str, list[date]] = defaultdict(list)
        for each in self.decisions:
            if each.is_chosen:
                days[each.account_id].append(each.day)
        return {account_id: sorted(found) for account_id, found in sorted(days.items())}

    @property
    def window(self) -> DateWindow | None:
        """From the oldest to the newest chosen day; None when none was chosen."""
        days = [day for found in self.chosen.values() for day in found]
        return DateWindow(min(days), max(days)) if days else None

    def summary(self) -> str:
        """How many days, and why the others were not chosen."""
        counts: defaultdict[str, int] = defaultdict(int)
        for each in self.decisions:
            counts[each.reason] += 1
        said = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
        return f"days: {said}" if said else "no day that may still change"


def plan_pass(
    database: Database,
    accounts: Sequence[Account],
    now: datetime,
    rules: BudgetRules,
    *,
    worth: float = WORTH_A_CALL,
) -> RefreshPass:
    """Decide at ``now`` (aware) and write it down; note first what earlier decisions came to.

    The same instant again gives the same pass. A pass that asks for nothing and was held back by
    nothing is not written down. Raises ``DatabaseError`` when the server cannot be reached.
    """
    pass_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"refresh_changing_days:{now.isoformat()}"))

    def plan(connection: Connection) -> RefreshPass:
        rates = change_rates(connection, accounts, now)
        refresh_decisions.settle(connection, found_since(connection, rates, list(rates)))
        refresh_decisions.forget(connection, now - REMEMBERED)
        candidates = [
            candidate
            for account in accounts
            for candidate in _candidates(connection, account, rates[account.account_id], now)
        ]
        costs = {account.account_id: _cost(connection, account) for account in accounts}
        room, calls = _headroom(connection, accounts, now, rules)
        decided = RefreshPass(pass_id, choose(candidates, costs, room, calls=calls, worth=worth))
        if any(each.reason not in (TOO_LITTLE, NOT_WORTH) for each in decided.decisions):
            refresh_decisions.record(connection, pass_id, now, decided.decisions)
        return decided

    return database.run(plan)


def _candidates(
    connection: Connection, account: Account, rates: ChangeRates, now: datetime
) -> list[Candidate]:
    """Whole days of the last 28 that all three pulls have read."""
    today = local_today(account.timezone, now)
    rows = connection.execute(
        "select partition_date as day, min(pulled_at) as pulled_at from control.slices"
        " where account_id = %s and asset = any(%s) and partition_date between %s and %s"
        "   and pulled_at is not null"
        " group by 1 having count(*) = %s order by 1",
        [
            account.account_id,
            list(INSIGHTS_TABLES),
            today - timedelta(days=SETTLED_AFTER_DAYS),
            today - timedelta(days=1),
            len(INSIGHTS_TABLES),
        ],
    ).fetchall()
    found = []
    for row in rows:
        day, pulled_at = row["day"], row["pulled_at"]
        if now < closed_at(day, account.timezone):
            continue
        change, measure = rates.expected_change(day, account.timezone, pulled_at, now)
        chance = rates.correction_chance((today - day).days)
        found.append(Candidate(account.account_id, day, pulled_at, change, measure, chance))
    return found


def _cost(connection: Connection, account: Account) -> ReadingCost:
    daily, hourly = (
        expected_rows_per_day(connection, SliceKey(account.account_id, asset)) or 0.0
        for asset in ("insights_daily", "insights_hourly")
    )
    return ReadingCost(daily, hourly)


def _headroom(
    connection: Connection, accounts: Sequence[Account], now: datetime, rules: BudgetRules
) -> tuple[dict[str, Headroom], float]:
    """Per account, and in all: what is left up to where calls of restatement begin to wait.

    Beyond it a pass would slow other calls down, for what the daily refresh brings anyway.
    """
    ceiling = rules.ceiling_percent * Priority.RESTATEMENT.value * rules.slow_from
    load: defaultdict[str, float] = defaultdict(float)
    tier: str | None = None
    blocked = set()
    for row in connection.execute(_LOAD, {"now": now}).fetchall():
        load[row["account_id"]] = row["percent"]
        tier = tier or row["tier"]
        if row["is_blocked"]:
            blocked.add(row["account_id"])
    room = {}
    for account in accounts:
        account_id = account.account_id
        percent = max(load[""], load[account_id])
        if blocked & {"", account_id}:
            room[account_id] = Headroom(0, "Meta blocks calls at present")
        elif percent >= ceiling:
            reason = f"{percent:.0f} % of the call budget are used, {ceiling:.0f} % is the most"
            room[account_id] = Headroom(0, reason)
        else:
            limit = hourly_limit(tier, _active_ads(connection, account_id))
            room[account_id] = Headroom((ceiling - percent) / 100 * limit)
    cap = rules.cap(tier)
    if cap is None:
        return room, math.inf
    used = connection.execute(_CALLS_OF_THE_HOUR, {"now": now}).fetchone()
    return room, max(0.0, ceiling / 100 * cap - (used["calls"] if used else 0))


def _active_ads(connection: Connection, account_id: str) -> int:
    row = connection.execute(
        "select count(*)::int as ads from raw.ads"
        " where account_id = %s and effective_status = 'ACTIVE' and not is_deleted",
        [account_id],
    ).fetchone()
    return int(row["ads"]) if row else 0


_LOAD = """
select account_id, max(tier) as tier, coalesce(bool_or(blocked_until > %(now)s), false)
    as is_blocked,
    coalesce(max(percent * greatest(0, 1 - greatest(0, extract(epoch from %(now)s - read_at))
        / nullif(span_seconds, 0))), 0)::float as percent
from control.call_budgets group by account_id
"""

_CALLS_OF_THE_HOUR = """
select coalesce(max(calls), 0)::int as calls from (
    select sum(calls) as calls from control.call_counts
    where minute > %(now)s - interval '1 hour' and minute <= %(now)s group by connection
) as connections
"""
