"""What the three everyday pulls cost in API calls, as the simulator counts them.

The yardstick is the fewest calls that pages of 500 rows allow (sum of pages, no retries, no polls);
the target is 1.2 times that. The client asks for larger pages, so the ratio may be below 1: how
large Meta's pages may be is for a live account to say. Peers' figures are of 1,200 rows a day by
the hour, somewhat more than the simulator's 50 ads have.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from meta_ads_pipeline.attribution import LIVE_WINDOWS
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
from meta_ads_pipeline.control.report_runs import PostgresReportStore
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.fields import Kind
from meta_ads_pipeline.rate_limit.limiter import PostgresRateLimiter
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_ads_pipeline.run_tags import REFRESH_RECENT, REFRESH_TODAY
from meta_graph_simulator.config import DEFAULT_TOKEN, SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer

PAGE = 500
TARGET = 1.2
INSIGHTS = ("insights_daily", "insights_hourly", "account_totals")  # as the job orders them
ENTITIES: tuple[Kind, ...] = ("ad", "adset", "campaign", "creative")


@dataclass(frozen=True)
class Cost:
    """One pull's calls against the fewest at pages of 500 rows; ``others``: peers' figures."""

    name: str
    calls: int
    fewest: int
    rows: int
    seconds: float
    others: str = ""

    @property
    def met(self) -> bool:
        """Whether the calls are within 1.2 times the fewest."""
        return self.calls <= TARGET * self.fewest


@dataclass
class Scene:
    """An account in the simulator, and where it is landed."""

    database: Database
    client: MetaAdsClient
    simulator: SimulatorServer
    account: Account

    def pull(self, ctx: PullContext, dates: Sequence[date], assets: Sequence[str]) -> None:
        """Land the insights of these dates."""
        for asset in assets:
            pull_insights(self.database, self.client, self.account, asset, dates, ctx)

    def pull_everything(self, ctx: PullContext, dates: Sequence[date]) -> None:
        """What the sync job pulls: the account, its insights, its entities."""
        pull_ad_accounts(self.database, self.client, ctx=ctx)
        self.pull(ctx, dates, INSIGHTS)
        for kind in ENTITIES:
            pull_entities(self.database, self.client, self.account, kind, dates, ctx)

    @property
    def today(self) -> date:
        """The account's date on the simulator's clock."""
        return self.simulator.control.now().astimezone(ZoneInfo(self.account.timezone)).date()

    def rows(self, asset: str, dates: Sequence[date]) -> int:
        """How many rows the dates hold."""
        with self.database.connect() as connection:
            row = connection.execute(
                f"select count(*)::int as rows from raw.{asset} where event_date = any(%s)",
                [list(dates)],
            ).fetchone()
        assert row is not None
        return int(row["rows"])

    def pages(self, asset: str, dates: Sequence[date]) -> int:
        """The fewest calls that read them in one go."""
        return max(1, math.ceil(self.rows(asset, dates) / PAGE))


def measure(scene: Scene, days: int = 90) -> list[Cost]:
    """First load by the hour, the whole first sync, the daily refresh, the refreshes of today."""
    control, today = scene.simulator.control, scene.today
    past = [today - timedelta(days=back) for back in range(days, 0, -1)]
    costs = []

    def cost(name: str, started: float, fewest: int, others: str = "") -> None:
        stats = control.stats()
        seconds = time.perf_counter() - started
        costs.append(Cost(name, stats["calls"], fewest, stats["rows"], seconds, others))

    load = PullContext("load", "run-1")
    control.reset("stats")
    started = time.perf_counter()
    scene.pull(load, past, INSIGHTS[:1])
    cost(f"first load, {days} days by the day", started, scene.pages("insights_daily", past))

    control.reset("stats")
    started = time.perf_counter()
    scene.pull(load, past, INSIGHTS[1:2])
    cost(
        f"first load, {days} days by the hour",
        started,
        scene.pages("insights_hourly", past),
        "airbyte 1,351; dlt 4,501; meltano 8,821 (90 days)",
    )

    control.reset("stats")
    started = time.perf_counter()
    scene.pull_everything(load, past)  # days and hours are done already
    # Totals, the account, a list of each kind, and the deleted ads, ad sets and campaigns by id.
    cost("first load, totals and entities", started, 2 + len(ENTITIES) + 3)

    window = past[-28:]
    changed = [window[3], window[11], window[20]]
    control.restate(scene.account.account_id, changed, "1.1")
    control.reset("stats")
    started = time.perf_counter()
    refresh = PullContext("recent", "run-2", refresh=REFRESH_RECENT)
    scene.pull(refresh, window, INSIGHTS)
    fewest = scene.pages("insights_daily", window) + sum(
        scene.pages("insights_hourly", [day]) for day in changed
    )
    cost("refresh of 28 days, 3 changed", started, fewest, "airbyte 451")

    control.reset("stats")
    started = time.perf_counter()
    scene.pull(PullContext("today", "run-3", refresh=REFRESH_TODAY), [today], INSIGHTS)
    numbers = sum(scene.pages(a, [today]) for a in INSIGHTS)
    cost("refresh of today, numbers", started, numbers)

    control.reset("stats")
    started = time.perf_counter()
    scene.pull_everything(PullContext("again", "run-4", refresh=REFRESH_TODAY), [today])
    # The account, its numbers, and by id what is new in them: nothing that is known already.
    cost("refresh of today, whole job", started, 1 + numbers)
    return costs


def main() -> bool:
    """Measure with 50 ads on a throw-away database, print a table; True when targets are met."""
    config = SimulatorConfig(port=0, accounts=1, ads=50, job_seconds=5)
    with tempfile.TemporaryDirectory(prefix="meta-ads-bench-") as home:
        server = EmbeddedPostgres(Path(home))
        database = Database(server.start())
        database.migrate()
        try:
            with SimulatorServer(config) as simulator:
                rate_limiter = PostgresRateLimiter(database, app="bench", connection_id="bench")
                with MetaAdsClient(
                    access_token=DEFAULT_TOKEN,
                    graph_url=simulator.url,
                    rate_limiter=rate_limiter,
                    report_store=PostgresReportStore(database),
                    attribution_windows=LIVE_WINDOWS,
                ) as client:
                    ctx = PullContext("accounts", "run-0")
                    (account,) = pull_ad_accounts(database, client, ctx=ctx)
                    costs = measure(Scene(database, client, simulator, account))
                rate_limiter.close()
        finally:
            database.dispose()
            server.release()
    print(f"{'pull':36} {'calls':>6} {'fewest':>7} {'ratio':>6} {'rows':>8} {'s':>6}  others")
    for each in costs:
        print(
            f"{each.name:36} {each.calls:6} {each.fewest:7} {each.calls / each.fewest:6.2f}"
            f" {each.rows:8} {each.seconds:6.1f}  {each.others}"
        )
    return all(each.met for each in costs)
