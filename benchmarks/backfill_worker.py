"""A process that pulls and loads a window, as the sync job does but for dbt; made to be killed.

``python -m benchmarks.backfill_worker START END [SPEED EPOCH]``. Database, simulator and token
come from the environment, as for every command. It prints ``working`` once it begins and exits
with 0 when every slice is done. It belongs to the same sync as ``meta-ads sync`` of these dates.

``SPEED`` seconds pass in its waits for each real one, counted from ``EPOCH`` (Unix seconds), to
go with a simulator whose clock runs as fast.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Protocol, TypeAlias

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database, open_database
from meta_ads_pipeline.control.syncs import open_sync
from meta_ads_pipeline.credentials.brief_budget import app_of
from meta_ads_pipeline.credentials.checks import revalidate_paused
from meta_ads_pipeline.credentials.clients import ConnectedClients, clients_for
from meta_ads_pipeline.credentials.connections import Connection
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.fields import Kind
from meta_ads_pipeline.rate_limit.limiter import PostgresRateLimiter
from meta_ads_pipeline.raw.context import PullContext, SliceReport
from meta_ads_pipeline.raw.fan_out import Pull, pull_side_by_side
from meta_ads_pipeline.raw.pull_connected import pull_connected_accounts
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_ads_pipeline.settings import Settings, get_settings
from meta_ads_pipeline.windows import DateWindow

Over: TypeAlias = Callable[[], None]

INSIGHTS: Mapping[str, Sequence[str]] = {
    "insights_daily": (),
    "account_totals": (),
    "insights_hourly": ("insights_daily",),
}
ENTITIES: Mapping[Kind, Sequence[str]] = {
    "ad": ("insights_hourly",),
    "adset": ("ad",),
    "campaign": ("adset",),
    "creative": ("ad",),
}
"""What is pulled, and after what."""


@dataclass(frozen=True)
class FastClock:
    """A clock that runs ``speed`` times as fast as the real one since ``epoch``."""

    speed: float
    epoch: float

    def now(self) -> float:
        """Unix seconds."""
        return self.epoch + (time.time() - self.epoch) * self.speed

    def sleep(self, seconds: float) -> None:
        """Wait so long on this clock."""
        time.sleep(seconds / self.speed)


def backfill(
    database: Database, clients: ConnectedClients, window: DateWindow
) -> dict[str, Exception]:
    """Pull and load everything of the window that its sync has not done; the failures."""
    sync = open_sync(database, window.start, window.end)
    context = PullContext(sync_id=sync.sync_id, run_id=f"worker-{time.time_ns()}")
    pulled = pull_connected_accounts(database, clients, ctx=context)
    failures = dict(pulled.failures)

    def insights(asset: str, account: Account, upstream_over: Over) -> list[SliceReport]:
        client = clients.client_for(account.account_id)
        ctx = replace(context, upstream_over=upstream_over)
        return pull_insights(database, client, account, asset, window.dates, ctx)

    def entities(kind: Kind, account: Account, upstream_over: Over) -> list[SliceReport]:
        client = clients.client_for(account.account_id)
        ctx = replace(context, upstream_over=upstream_over)
        return pull_entities(database, client, account, kind, window.dates, ctx)

    pulls: dict[str, Pull] = {
        **{name: Pull(partial(insights, name), upstream) for name, upstream in INSIGHTS.items()},
        **{kind: Pull(partial(entities, kind), upstream) for kind, upstream in ENTITIES.items()},
    }
    for _, found in pull_side_by_side(pulled.accounts, pulls, max_accounts=4):
        failures |= found.failures
    return failures


class Clock(Protocol):
    """When it is, and waiting."""

    def now(self) -> float:
        """Unix seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait so long on this clock."""


def fast_clients(settings: Settings, database: Database, clock: Clock) -> ConnectedClients:
    """The connections' clients, with every wait and every limit on another clock."""

    def rate_limiter(connection: Connection) -> PostgresRateLimiter:
        return PostgresRateLimiter(
            database,
            app=app_of(settings, connection),
            connection_id=connection.connection_id,
            label=connection.label,
            clock=clock.now,
            sleep=clock.sleep,
        )

    return clients_for(
        settings, database, rate_limiter_for=rate_limiter, clock=clock.now, sleep=clock.sleep
    )


def main(arguments: list[str]) -> int:
    """Do it once; 1 when some slice is not done."""
    logging.basicConfig(level=logging.ERROR)
    window = DateWindow(date.fromisoformat(arguments[0]), date.fromisoformat(arguments[1]))
    clock = FastClock(*(float(text) for text in (*arguments[2:], "1", "0")[:2]))
    settings = get_settings()
    database = open_database(settings)
    print("working", flush=True)
    revalidate_paused(database, settings, datetime.now(UTC))
    try:
        with fast_clients(settings, database, clock) as clients:
            failures = backfill(database, clients, window)
    except MetaApiError as refusal:  # nothing can be read: no account, no token
        print(refusal, file=sys.stderr)
        return 1
    for name, error in failures.items():
        print(f"{name}: {error}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
