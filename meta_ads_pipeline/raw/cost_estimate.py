"""What a sync of a range would cost, before any call: calls, rows, share of the budget, time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.slices import SliceKey
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES, REACH_TABLE
from meta_ads_pipeline.meta_api.config import PlanLimits
from meta_ads_pipeline.meta_api.request_planner import InsightsRequestPlanner, Plan
from meta_ads_pipeline.rate_limit.limits import BudgetRules, hourly_limit
from meta_ads_pipeline.raw.entities import ENTITY_TABLES
from meta_ads_pipeline.raw.expected_rows import expected_rows_per_day
from meta_ads_pipeline.raw.measured_speed import Speed, measured_speed
from meta_ads_pipeline.raw.pull_insights import consecutive_windows
from meta_ads_pipeline.raw.pull_reach import newest_first, reach_requests
from meta_ads_pipeline.windows import DateWindow, begun, local_today

ENTITY_PAGE = 500


@dataclass(frozen=True)
class AssetEstimate:
    """What one asset of one account would cost; ``reports`` of the calls start one."""

    account_id: str
    asset: str
    days: int
    calls: int
    rows: int
    reports: int = 0


@dataclass(frozen=True)
class AccountEstimate:
    """What one account would cost, against the calls that Meta lets it have in an hour.

    ``calls_per_hour`` is the lower of Meta's limit for the account and the token's own cap;
    ``speed`` is that of this database's pulls. ``token_cap`` is the cap that the account shares
    with all others of its token; None: there is none.
    """

    account: Account
    assets: tuple[AssetEstimate, ...]
    calls_per_hour: int
    tier: str
    readers: int
    speed: Speed
    token_cap: int | None = None

    @property
    def calls(self) -> int:
        """Calls in all."""
        return sum(each.calls for each in self.assets)

    @property
    def rows(self) -> int:
        """Rows in all."""
        return sum(each.rows for each in self.assets)

    @property
    def share(self) -> float:
        """Of an hour's calls; 1 is all of them."""
        return self.calls / self.calls_per_hour

    @property
    def seconds(self) -> float:
        """Time expected: the calls side by side, reports in the background, or the budget's."""
        reports = sum(each.reports for each in self.assets)
        working = self.speed.seconds(self.calls, self.rows, reports, self.readers)
        return max(working, (self.share - 1) * 3600)


def plan_accounts(
    database: Database,
    accounts: Sequence[Account],
    window: DateWindow,
    *,
    rules: BudgetRules,
    readers: int = 6,
    limits: PlanLimits | None = None,
    with_reach: bool = True,
) -> list[AccountEstimate]:
    """The cost of each account's part of a full sync of ``window``, from what is landed so far.

    ``with_reach`` is whether reach is pulled at all.
    """
    now = datetime.now(UTC)
    planner = InsightsRequestPlanner(limits or PlanLimits())

    def plan(connection: Connection) -> list[AccountEstimate]:
        plans, speed = [], measured_speed(connection)
        for account in accounts:
            dates = begun(window.dates, account.timezone, now)
            insights = [
                _insights(connection, planner, account, asset, dates, now)
                for asset in INSIGHTS_TABLES
            ]
            if with_reach:
                insights.append(_reach(connection, account, dates, now))
            tier, active_ads = _tier(connection, account), _active_ads(connection, account)
            cap = rules.cap(tier)
            limit = hourly_limit(tier, active_ads)
            plans.append(
                AccountEstimate(
                    account,
                    (*insights, *_entities(connection, account)),
                    min(limit, cap) if cap else limit,
                    tier or "unknown tier",
                    readers,
                    speed,
                    cap,
                )
            )
        return plans

    return database.run(plan)


def plan_document(
    window: DateWindow, plans: Sequence[AccountEstimate], seconds: float
) -> dict[str, Any]:
    """The plans as plain values."""
    return {
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "calls": sum(plan.calls for plan in plans),
        "rows": sum(plan.rows for plan in plans),
        "expected_seconds": round(seconds),
        "time_basis": plans[0].speed.basis if plans else None,
        "accounts": [
            {
                "account_id": plan.account.account_id,
                "name": plan.account.name,
                "calls": plan.calls,
                "rows": plan.rows,
                "calls_per_hour": plan.calls_per_hour,
                "tier": plan.tier,
                "share_of_hourly_budget": round(plan.share, 4),
                "expected_seconds": round(plan.seconds),
                "assets": [
                    {
                        "asset": each.asset,
                        "calls": each.calls,
                        "rows": each.rows,
                        "reports": each.reports,
                    }
                    for each in plan.assets
                ],
            }
            for plan in plans
        ],
    }


def total_seconds(plans: Sequence[AccountEstimate], owners: Mapping[str, str | None]) -> float:
    """How long all of it takes: the longest account, or the hours that a token's cap asks for.

    The cap of calls in any hour is the token's: what one account calls is missing to the others.
    The first hour's calls need not wait. ``owners`` are the connections of accounts, by id.
    """
    by_token: dict[str | None, list[AccountEstimate]] = defaultdict(list)
    for plan in plans:
        by_token[owners.get(plan.account.account_id)].append(plan)
    waits = [
        (sum(plan.calls for plan in of_token) / cap - 1) * 3600
        for of_token in by_token.values()
        if (cap := min((plan.token_cap for plan in of_token if plan.token_cap), default=None))
    ]
    return max([0.0, *waits, *(plan.seconds for plan in plans)])


def expected_calls(
    database: Database,
    accounts: Sequence[Account],
    window: DateWindow,
    sync_id: str,
    *,
    with_reach: bool = True,
) -> int:
    """The calls that what this sync has not done yet is expected to take, entities included."""
    now = datetime.now(UTC)
    planner = InsightsRequestPlanner(PlanLimits())

    def calls(connection: Connection) -> int:
        total = 0
        for account in accounts:
            dates = begun(window.dates, account.timezone, now)
            todo = partial(_todo, connection, account, dates, sync_id)
            for asset in INSIGHTS_TABLES:
                total += _insights(connection, planner, account, asset, todo(asset), now).calls
            if with_reach:
                total += _reach(connection, account, todo(REACH_TABLE.asset), now).calls
            total += sum(each.calls for each in _entities(connection, account) if todo(each.asset))
        return total

    return database.run(calls)


def _todo(
    connection: Connection, account: Account, dates: Collection[date], sync_id: str, asset: str
) -> list[date]:
    done = slices.done_under(connection, SliceKey(account.account_id, asset), sync_id)
    return [day for day in dates if day not in done]


def _insights(
    connection: Connection,
    planner: InsightsRequestPlanner,
    account: Account,
    asset: str,
    dates: Collection[date],
    now: datetime,
) -> AssetEstimate:
    table, today = INSIGHTS_TABLES[asset], local_today(account.timezone, now)
    per_day = expected_rows_per_day(connection, SliceKey(account.account_id, asset))
    plans: list[Plan] = [
        planner.plan(
            account.account_id, table.level, table.grain, part.start, part.end, per_day, today
        )
        for part in consecutive_windows(list(dates))
    ]
    return AssetEstimate(
        account.account_id,
        asset,
        len(dates),
        calls=sum(plan.expected_calls for plan in plans),
        rows=sum(plan.expected_rows for plan in plans),
        reports=sum(window.mode == "async" for plan in plans for window in plan.windows),
    )


def _reach(
    connection: Connection, account: Account, dates: Collection[date], now: datetime
) -> AssetEstimate:
    """One call for each question: rows are few, and rarely fill a page."""
    asset = REACH_TABLE.asset
    today = local_today(account.timezone, now)
    calls = sum(len(reach_requests(portion, today)) for portion in newest_first(dates))
    per_day = slices.rows_per_day(connection, SliceKey(account.account_id, asset)) or 0.0
    return AssetEstimate(account.account_id, asset, len(dates), calls, round(per_day * len(dates)))


def _entities(connection: Connection, account: Account) -> list[AssetEstimate]:
    """One list each; what only the numbers refer to is read by id besides, in few calls."""
    found = []
    for table in ENTITY_TABLES.values():
        row = connection.execute(
            f"select count(*)::int as rows from raw.{table.asset}"
            " where account_id = %s and not is_deleted",
            [account.account_id],
        ).fetchone()
        rows = row["rows"] if row is not None else 0
        calls = max(1, math.ceil(rows / ENTITY_PAGE))
        found.append(AssetEstimate(account.account_id, table.asset, 0, calls, rows))
    return found


def _tier(connection: Connection, account: Account) -> str | None:
    """The access tier of the app that last read the account."""
    row = connection.execute(
        "select tier from control.call_budgets where account_id = %s and tier is not null"
        " order by read_at desc limit 1",
        [account.account_id],
    ).fetchone()
    return None if row is None else row["tier"]


def _active_ads(connection: Connection, account: Account) -> int:
    row = connection.execute(
        "select count(*)::int as ads from raw.ads"
        " where account_id = %s and effective_status = 'ACTIVE' and not is_deleted",
        [account.account_id],
    ).fetchone()
    return 0 if row is None else int(row["ads"])
