"""A whole first sync, and the same again with nothing new, against the floor.

The floor is the same hourly rows by a bare asynchronous client, all days at once, and COPY into one
indexed table: nothing is checked, kept apart or remembered. Wall seconds, CPU seconds of the
command with all its descendants, and the most memory its tree held (PSS: shared pages count once).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import httpx
import psycopg

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
from meta_ads_pipeline.meta_api.fields import DELETED, EFFECTIVE_STATUSES, HOURLY_BREAKDOWN
from meta_graph_simulator.config import DEFAULT_TOKEN, SimulatorConfig
from meta_graph_simulator.http.process import SimulatorProcess

MOST_OF_FLOOR = 2.0
MOST_SECONDS_NOTHING_NEW = 10.0
MOST_CPU_NOTHING_NEW = 6.0
MOST_MIB = 400.0
"""The targets: a first sync in so many times the floor and MiB, and one that finds nothing new."""


@dataclass(frozen=True)
class Cost:
    """What one command took: wall and CPU seconds, MiB at most, calls as the simulator counts.

    ``wal_mib``: what Postgres logged meanwhile, Dagster's records included.
    """

    name: str
    seconds: float
    cpu: float
    mib: float
    calls: int
    wal_mib: float = 0.0


def tree_mib(pid: int) -> float:
    """Proportional set size of a process and its descendants, in MiB."""
    total, pending = 0, [pid]
    while pending:
        each = pending.pop()
        try:
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
            for task in Path(f"/proc/{each}/task").iterdir():
                pending += map(int, (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return total / 1024


def measured(
    name: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    simulator: SimulatorProcess,
    output: IO[str] | None = None,
) -> Cost:
    """Run a program to its end, its output going to the file.

    Raises RuntimeError with what it complained of when it fails.
    """
    simulator.control.reset("stats")
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            list(arguments), env=dict(environment), stdout=output or complaints, stderr=complaints
        )
        most = 0.0
        over = threading.Event()

        def watch() -> None:
            nonlocal most
            while not over.wait(0.2):
                most = max(most, tree_mib(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            over.set()
            watcher.join()
        seconds = time.perf_counter() - started
        if process.returncode != 0:
            complaints.seek(0)
            said = complaints.read()[-3000:]
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{said}")
    calls = int(simulator.control.stats()["calls"])
    return Cost(name, seconds, usage.ru_utime + usage.ru_stime, most, calls)


async def download(url: str, account: str, dates: Sequence[date]) -> list[list[Any]]:
    """The hourly rows of all dates at once, page by page, as Meta's words."""
    rows: list[list[Any]] = []
    limits = asyncio.Semaphore(16)

    async def day(client: httpx.AsyncClient, on: date) -> None:
        following: str | None = f"{url}/v26.0/act_{account}/insights"
        parameters: dict[str, str] | None = {
            "access_token": DEFAULT_TOKEN,
            "level": "ad",
            "time_increment": "1",
            "limit": "500",
            "time_range": json.dumps({"since": on.isoformat(), "until": on.isoformat()}),
            "breakdowns": HOURLY_BREAKDOWN,
            "fields": "ad_id,spend,impressions,clicks,actions",
            # Else the rows of archived and deleted ads are left out.
            "filtering": json.dumps(
                [
                    {
                        "field": "ad.effective_status",
                        "operator": "IN",
                        "value": [*EFFECTIVE_STATUSES["ad"], DELETED],
                    }
                ]
            ),
        }
        while following:
            async with limits:
                response = await client.get(following, params=parameters)
            body = response.raise_for_status().json()
            rows.extend(
                [
                    row["ad_id"],
                    row["date_start"],
                    row[HOURLY_BREAKDOWN],
                    row.get("spend"),
                    row.get("impressions"),
                    row.get("clicks"),
                    json.dumps(row.get("actions")),
                ]
                for row in body["data"]
            )
            following, parameters = body.get("paging", {}).get("next"), None

    async with httpx.AsyncClient(timeout=120) as client:
        await asyncio.gather(*(day(client, on) for on in dates))
    return rows


def floor(url: str, account: str, dates: Sequence[date], database: str) -> tuple[float, int]:
    """Seconds for the bare client and one COPY, and the rows."""
    started = time.perf_counter()
    rows = asyncio.run(download(url, account, dates))
    with psycopg.connect(database) as connection:
        connection.execute(
            "create table floor (ad_id text, day date, hour text, spend numeric,"
            " impressions bigint, clicks bigint, actions jsonb, primary key (ad_id, day, hour))"
        )
        with connection.cursor().copy("copy floor from stdin") as copy:
            for row in rows:
                copy.write_row(row)
    return time.perf_counter() - started, len(rows)


@dataclass(frozen=True)
class World:
    """A simulator, an empty database, and the environment in which ``meta-ads`` finds both."""

    simulator: SimulatorProcess
    address: str
    environment: Mapping[str, str]

    @property
    def accounts(self) -> list[str]:
        """The ids of the ad accounts, without ``act_``."""
        state = self.simulator.control.state()
        return [account["id"].removeprefix("act_") for account in state["accounts"]]

    def last_days(self, count: int) -> list[date]:
        """So many dates up to the first account's yesterday."""
        today = date.fromisoformat(self.simulator.control.state()["accounts"][0]["today"])
        return [today - timedelta(days=back) for back in range(count, 0, -1)]

    def sync(self, name: str, dates: Sequence[date]) -> Cost:
        """What a sync from the first to the last of the dates takes."""
        return self.meta_ads(
            name, "sync", "--start", dates[0].isoformat(), "--end", dates[-1].isoformat()
        )

    def meta_ads(self, name: str, *arguments: str) -> Cost:
        """What a command takes."""
        before = self._wal_bytes()
        command = [sys.executable, "-m", "meta_ads_pipeline.cli", *arguments]
        cost = measured(name, command, self.environment, self.simulator)
        return replace(cost, wal_mib=(self._wal_bytes() - before) / 2**20)

    def landed_hours(self) -> tuple[int, Decimal]:
        """The hourly rows that were landed, and their spend."""
        with psycopg.connect(self.address) as connection:
            row = connection.execute(
                "select count(*), coalesce(sum(spend), 0) from raw.insights_hourly"
            ).fetchone()
        assert row is not None
        return row[0], row[1]

    def _wal_bytes(self) -> int:
        with psycopg.connect(self.address) as connection:
            row = connection.execute("select pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def new_world(config: SimulatorConfig) -> Iterator[World]:
    """A world for as long as the block lasts."""
    with (
        tempfile.TemporaryDirectory(prefix="meta-ads-bench-") as home,
        SimulatorProcess(config) as simulator,
    ):
        server = EmbeddedPostgres(Path(home))
        address = server.start()
        try:
            Database(address).migrate()
            environment = {
                **os.environ,
                "META_ADS_HOME": home,
                "META_ADS_DATABASE_URL": address,
                "META_ACCESS_TOKEN": DEFAULT_TOKEN,
                "META_GRAPH_URL": simulator.url,
                "DAGSTER_DISABLE_TELEMETRY": "yes",
            }
            yield World(simulator, address, environment)
        finally:
            server.release()


def measure(days: int = 30, ads: int = 300) -> tuple[float, int, list[Cost]]:
    """The floor, its rows, and what each command took."""
    config = SimulatorConfig(port=0, accounts=1, ads=ads, job_seconds=5, latency_ms=150)
    with new_world(config) as world:
        dates = world.last_days(days)
        bare, rows = floor(world.simulator.url, world.accounts[0], dates, world.address)
        first = world.sync("from nothing", dates)
        landed, _spend = world.landed_hours()
        assert landed == rows, f"{landed} rows landed, {rows} of the floor"
        return (
            bare,
            rows,
            [
                first,
                world.sync("the same again", dates),
                world.meta_ads("today", "sync", "--preset", "today"),
                world.meta_ads("today again", "sync", "--preset", "today"),
            ],
        )


def main() -> bool:
    """Measure with 300 ads x 30 days, 150 ms a call, reports of 5 s; True when targets are met."""
    bare, rows, costs = measure()
    print(f"floor {bare:.1f} s, {rows} rows")
    for cost in costs:
        print(
            f"{cost.name:16} {cost.seconds:6.1f} s  {cost.seconds / bare:5.1f} x floor"
            f"  {cost.cpu:6.1f} s CPU  {cost.mib:5.0f} MiB  {cost.calls} calls"
            f"  {cost.wal_mib:.1f} MiB of WAL"
        )
    first, again = costs[0], costs[1]
    return (
        first.seconds <= MOST_OF_FLOOR * bare
        and max(cost.mib for cost in costs) <= MOST_MIB
        and again.seconds <= MOST_SECONDS_NOTHING_NEW
        and again.cpu <= MOST_CPU_NOTHING_NEW
    )
