"""A world to plant faults in: at the API, between client and loader, or in the landed rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.insights_query import InsightsPart
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_graph_simulator.http.server import SimulatorServer

from .warehouse import INSIGHTS, Warehouse

Rows = list[dict[str, Any]]


class Misreader:
    """The real client; what it reads of insights is changed before the loader sees it."""

    def __init__(self, client: MetaAdsClient, change: Callable[[Rows], Rows]) -> None:
        self._client = client
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def iter_insights(self, *arguments: Any, **options: Any) -> Iterator[InsightsPart]:
        """The real parts with changed rows."""
        for part in self._client.iter_insights(*arguments, **options):
            yield replace(part, rows=self._change(part.rows))


@dataclass
class World:
    """The simulator, the real client and the warehouse between which faults are planted."""

    warehouse: Warehouse
    server: SimulatorServer
    client: MetaAdsClient
    accounts: Mapping[str, Account] = field(default_factory=dict)

    def land_accounts(self) -> None:
        """Make the accounts known, by currency."""
        context = PullContext(sync_id="accounts", run_id="run")
        landed = pull_ad_accounts(self.warehouse.database, self.client, ctx=context)
        self.accounts = {account.currency: account for account in landed}

    def pull(
        self,
        account: Account,
        dates: Sequence[date],
        sync_id: str,
        assets: Sequence[str] = INSIGHTS,
        change: Callable[[Rows], Rows] | None = None,
    ) -> None:
        """Read and land; ``change`` is the bug between both."""
        reader = self.client if change is None else Misreader(self.client, change)
        context = PullContext(sync_id=sync_id, run_id="run")
        for asset in assets:
            pull_insights(self.warehouse.database, reader, account, asset, dates, context)

    def tamper(self, statement: str, account: Account, day: date) -> None:
        """Change landed rows of an account-day (``{where}``); at least one must be concerned."""
        where = f"account_id = '{account.account_id}' and event_date = '{day}'"
        with self.warehouse.database.connect() as connection:
            assert connection.execute(statement.format(where=where).encode()).rowcount > 0

    def an_ad(self, account: Account, day: date) -> str:
        """The ad that spent most on the day."""
        rows = self.server.control.truth(account.account_id, day, day, by_ad=True)
        return str(max(rows, key=lambda row: Decimal(row["spend"]))["ad_id"])


Plant = Callable[[World, Account, date], None]


def misread(asset: str, change: Callable[[Rows], Rows]) -> Plant:
    """A bug between the client and the loader in one of the three pulls."""

    def plant(world: World, account: Account, day: date) -> None:
        world.pull(account, [day], "faulty", [asset], change)

    return plant


def miswritten(statement: str) -> Plant:
    """A bug of the loader: other rows land than were read."""

    def plant(world: World, account: Account, day: date) -> None:
        world.tamper(statement, account, day)

    return plant


def level_fault(level: str, action: str, *, one_ad: bool = False) -> Plant:
    """Meta's own answer at one level is wrong."""

    def plant(world: World, account: Account, day: date) -> None:
        ad_id = world.an_ad(account, day) if one_ad else None
        world.server.control.plant_level_fault(
            account.account_id, level, action, ad_id=ad_id, day=day
        )
        world.pull(account, [day], "faulty")

    return plant


def restated_but_read_in_part(world: World, account: Account, day: date) -> None:
    """Meta restates the day; only the account's total is read again."""
    world.server.control.restate(account.account_id, [day], "1.5")
    world.pull(account, [day], "faulty", ["account_totals"])


def second_page_lost(rows: Rows) -> Rows:
    return rows[: len(rows) // 2]


def through_binary_cents(rows: Rows) -> Rows:
    return [row | {"spend": str(int(float(row["spend"]) * 100) / 100)} for row in rows]


def by_a_hundred(rows: Rows) -> Rows:
    return [row | {"spend": str(Decimal(row["spend"]) / 100)} for row in rows]


def nothing(rows: Rows) -> Rows:
    return []
