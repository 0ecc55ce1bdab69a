"""Weeks of refreshes replayed on the simulator's clock: real calls, real loads, simulated time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, cast

from meta_ads_pipeline.automation.windows import recent_window
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.insights_query import InsightsPart
from meta_ads_pipeline.raw.context import (
    PullContext,
)
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_ads_pipeline.run_tags import REFRESH_RECENT, REFRESH_TODAY
from meta_ads_pipeline.windows import begun, local_today
from meta_graph_simulator.http.server import SimulatorServer

INSIGHTS = ("insights_daily", "insights_hourly", "account_totals")  # as the job orders them


class SimulatedTimeReader:
    """The real client; what it reads counts as pulled at the simulated instant."""

    def __init__(self, client: MetaAdsClient, replay: Replay) -> None:
        self._client, self._replay = client, replay

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def iter_insights(self, *arguments: Any, **options: Any) -> Iterator[InsightsPart]:
        """The client's parts, dated by the simulator's clock."""
        for part in self._client.iter_insights(*arguments, **options):
            yield replace(part, pulled_at=self._replay.now)


@dataclass
class Replay:
    """A database, a simulator whose clock stands still, and the pulls of the schedules."""

    database: Database
    simulator: SimulatorServer
    client: MetaAdsClient
    now: datetime
    calls: Counter[tuple[date, str]] = field(default_factory=Counter)
    """By simulated UTC date and kind of refresh."""
    accounts: list[Account] = field(default_factory=list)
    pulls: int = 0

    @classmethod
    def begin(
        cls, database: Database, simulator: SimulatorServer, client: MetaAdsClient, now: datetime
    ) -> Replay:
        """Stop the clock at ``now`` (UTC) and land the accounts."""
        simulator.control.set_clock_speed(0)
        replayed = cls(database, simulator, client, now)
        replayed.set_clock(now)
        replayed.accounts = pull_ad_accounts(database, replayed.reader, ctx=PullContext("0", "0"))
        return replayed

    @property
    def reader(self) -> MetaAdsClient:
        """The client as pulls see it."""
        return cast(MetaAdsClient, SimulatedTimeReader(self.client, self))

    def set_clock(self, now: datetime) -> None:
        """Go to an instant (UTC)."""
        self.now = now
        self.simulator.control.set_clock(now)

    def pull(
        self, kind: str, days_of: Mapping[str, Sequence[date]], sync_id: str | None = None
    ) -> int:
        """Pull days of accounts, by account id, as a run of this kind would; the calls it took."""
        self.pulls += 1
        ctx = PullContext(
            sync_id or f"sync-{self.pulls}",
            f"run-{self.pulls}",
            now=lambda: self.now,
            refresh=kind,
        )
        before = int(self.simulator.control.stats()["calls"])
        for account in self.accounts:
            days = begun(days_of.get(account.account_id, ()), account.timezone, self.now)
            for asset in INSIGHTS:
                pull_insights(self.database, self.reader, account, asset, days, ctx)
        calls = int(self.simulator.control.stats()["calls"]) - before
        self.calls[self.now.date(), kind] += calls
        return calls

    def pull_entities(self, days: Sequence[date]) -> None:
        """Names and goals of what the days refer to."""
        ctx = PullContext("entities", "entities", now=lambda: self.now)
        for account in self.accounts:
            for kind in ("ad", "adset", "campaign"):
                pull_entities(self.database, self.reader, account, kind, days, ctx)

    def refresh_today(self) -> int:
        """Today where the accounts are."""
        todays = {a.account_id: [local_today(a.timezone, self.now)] for a in self.accounts}
        return self.pull(REFRESH_TODAY, todays)

    def refresh_recent(self, since: date) -> int:
        """The last 28 days, from the day on which the replay began."""
        days = [day for day in recent_window(self.accounts, self.now).dates if day >= since]
        return self.pull(REFRESH_RECENT, {a.account_id: days for a in self.accounts})

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query, at the simulated instant."""
        with self.database.connect() as connection:
            connection.execute(
                "select set_config('meta_ads.now', %s, false)", [self.now.isoformat()]
            )
            return connection.execute(query.encode(), parameters or None).fetchall()


@contextmanager
def dbt_at(now: datetime, environment: MutableMapping[str, str]) -> Iterator[None]:
    """dbt's sessions see this instant as the present."""
    before = environment.get("PGOPTIONS")
    environment["PGOPTIONS"] = f"-c meta_ads.now={now.astimezone(UTC).isoformat()}"
    try:
        yield
    finally:
        if before is None:
            del environment["PGOPTIONS"]
        else:
            environment["PGOPTIONS"] = before
