"""The service under load: everyday questions to millions of facts while a sync runs, 2,000 streams.

``python -m benchmarks.serving_load --facts 10000000`` for another size than a million. Facts are
written by SQL, dimensions and rollups by dbt (``mart_queries``). Clients, service, Postgres,
simulator and sync share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

import httpx
from psycopg.types.json import Jsonb

from benchmarks.http_service import HttpService, http_service
from benchmarks.mart_queries import fill
from meta_ads_pipeline.control.database import export_environment
from meta_graph_simulator.config import DEFAULT_TOKEN, SimulatorConfig
from meta_graph_simulator.http.process import SimulatorProcess

FACTS = 1_000_000
FACTS_A_DAY = 25_000
SECONDS = 30
CLIENTS = 4
LISTENERS = 2_000
EVENTS = 10
WORKSPACE = "00000000-0000-0000-0000-000000000001"

ACCOUNT_TARGET_MS, WORKSPACE_TARGET_MS = 50, 200
"""p95 of 30 days of an account, and of a year of a workspace, one question at a time."""

_RECONCILED = """
insert into marts.reconciliation (
    workspace_id, account_id, event_date, measure, hourly_total, ad_daily_total, account_total,
    delta, tolerance, status, is_complete, is_settled, pulled_at
)
select workspace_id, account_id, event_date, measure, 1, 1, 1, 0, 0, 'reconciled', true,
    is_settled, now()
from marts.account_daily
cross join unnest(array['spend', 'impressions', 'clicks', 'link_clicks', 'purchases', 'revenue',
    'leads']) as measure
"""


@dataclass
class Timings:
    """Milliseconds of each question, by its name; ``failed``: answers other than 200."""

    by_question: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: list[str] = field(default_factory=list)

    def line(self, name: str) -> str:
        """Number and percentiles."""
        return f"{len(self.by_question[name]):6} x  {percentiles(self.by_question[name])}  {name}"


def percentiles(values: list[float]) -> str:
    """p50, p95 and p99 in milliseconds."""
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    return f"p50 {cuts[49]:6.0f} ms  p95 {cuts[94]:6.0f} ms  p99 {cuts[98]:6.0f} ms"


def p95(values: list[float]) -> float:
    """In milliseconds."""
    return quantiles(values, n=100, method="inclusive")[94]


def questions(today: date, account: int) -> dict[str, dict[str, str]]:
    """What people ask, of one of the accounts."""

    def dates(back: int) -> dict[str, str]:
        return {"start": str(today - timedelta(days=back)), "end": str(today - timedelta(days=1))}

    one = {"account": str(account)}
    return {
        "30 days of an account, by day": {
            **dates(30), **one, "breakdown": "day", "measures": "spend,clicks,ctr,purchases,roas",
        },
        "a year of the workspace, by month": {
            **dates(365), "breakdown": "month", "measures": "spend,revenue,roas,cpa",
        },
        "yesterday of an account, by hour": {
            **dates(1), **one, "breakdown": "hour", "measures": "spend,impressions,clicks",
        },
        "7 days, the accounts beside the week before": {
            **dates(7), "group_by": "account", "measures": "spend,roas",
            "compare": "previous_period", "sort": "-spend",
        },
        "30 days of an account, its campaigns": {
            **dates(30), **one, "group_by": "campaign", "measures": "spend,cpc,conversions,cpa",
        },
        "30 days, the ten best ads and the rest": {
            **dates(30), "group_by": "ad", "measures": "revenue,spend,roas", "sort": "-revenue",
            "top": "10",
        },
        "30 days by day, in New York's time": {
            **dates(30), "breakdown": "day", "timezone": "America/New_York", "measures": "spend",
        },
        "28 days, the hours of the day": {
            **dates(28), **one, "breakdown": "hour-of-day", "measures": "spend,clicks,ctr",
        },
    }  # fmt: skip


def ask_once(client: httpx.Client, name: str, asked: dict[str, str], timings: Timings) -> None:
    """One question, timed."""
    begun = time.perf_counter()
    answer = client.get("/workspaces/default/metrics", params=asked)
    timings.by_question[name].append((time.perf_counter() - begun) * 1000)
    if answer.status_code != 200:
        timings.failed.append(f"{name}: {answer.status_code} {answer.text[:200]}")


def one_after_the_other(service: HttpService, today: date, times: int) -> Timings:
    """Each question on its own, of changing accounts, after a first one."""
    timings, warm = Timings(), Timings()
    with httpx.Client(base_url=service.url, headers=service.headers, timeout=60) as client:
        for name in questions(today, 1):
            ask_once(client, name, questions(today, 1)[name], warm)
            for n in range(times):
                ask_once(client, name, questions(today, n % 40 + 1)[name], timings)
    return timings


def at_once(
    service: HttpService, today: date, clients: int, seconds: float
) -> tuple[Timings, float]:
    """Clients that ask without pause; the timings and requests/s."""
    timings = Timings()
    begun = time.monotonic()

    def one(seed: int) -> None:
        source = random.Random(seed)
        with httpx.Client(base_url=service.url, headers=service.headers, timeout=60) as client:
            while time.monotonic() < begun + seconds:
                asked = questions(today, source.randint(1, 40))
                name = source.choice(list(asked))
                ask_once(client, name, asked[name], timings)

    threads = [threading.Thread(target=one, args=[seed]) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = sum(map(len, timings.by_question.values()))
    return timings, asked / (time.monotonic() - begun)


@contextmanager
def syncing(service: HttpService, home: Path) -> Iterator[list[int]]:
    """Another account's last three days pulled again and again; the exit codes so far."""
    codes: list[int] = []
    stop = threading.Event()
    config = SimulatorConfig(port=0, accounts=1, ads=100, latency_ms=50, job_seconds=2)
    with SimulatorProcess(config) as simulator:
        [account] = simulator.control.state()["accounts"]
        last = date.fromisoformat(account["today"])
        environment = {
            **os.environ,
            "META_ADS_HOME": str(home),
            "META_ADS_DATABASE_URL": service.database.url,
            "META_ACCESS_TOKEN": DEFAULT_TOKEN,
            "META_GRAPH_URL": simulator.url,
            "META_AD_ACCOUNT_IDS": account["id"],
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }

        def work() -> None:
            command = [sys.executable, "-m", "meta_ads_pipeline.cli", "sync"]
            command += ["--account", account["id"], "--end", str(last)]
            for days in itertools.count(2):
                if stop.is_set():
                    return
                start = ["--start", str(last - timedelta(days=days))]
                child = subprocess.Popen(
                    [*command, *start],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                while child.poll() is None:
                    if stop.wait(0.2):
                        child.terminate()
                        child.wait(60)
                        return
                codes.append(child.returncode)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield codes
        finally:
            stop.set()
            thread.join(90)


async def listen(
    service: HttpService, listeners: int, events: int
) -> tuple[list[float], float, float]:
    """Milliseconds from each event's commit to the last listener; memory before and with all."""
    address = urlsplit(service.url)
    heard: dict[int, int] = defaultdict(int)
    arrived: dict[int, float] = {}
    open_streams = 0
    before = service.megabytes

    async def one() -> None:
        nonlocal open_streams
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            f"GET /workspaces/default/stream HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Authorization: Bearer {service.key}\r\n\r\n".encode()
        )
        try:
            while line := await reader.readline():
                if line.startswith(b"retry:"):
                    open_streams += 1
                elif line.startswith(b"data:") and b'"mark":' in line:
                    mark = int(line.rpartition(b":")[2].strip(b" }\n"))
                    heard[mark] += 1
                    arrived[mark] = time.perf_counter()
        finally:
            writer.close()

    async def until(is_so: object, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():  # type: ignore[operator]
            if time.monotonic() > deadline:
                raise TimeoutError(f"{open_streams} streams are open, heard: {dict(heard)}")
            await asyncio.sleep(0.05)

    tasks = []
    for n in range(listeners):
        tasks.append(asyncio.create_task(one()))
        if n % 50 == 49:
            await asyncio.sleep(0.1)
    await until(lambda: open_streams == listeners)
    memory = service.megabytes
    took = []
    for mark in range(events):
        written = time.perf_counter()
        await asyncio.to_thread(_write_event, service, mark)
        await until(lambda mark=mark: heard[mark] == listeners)
        took.append((arrived[mark] - written) * 1000)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return took, before, memory


def _write_event(service: HttpService, mark: int) -> None:
    with service.database.connect() as connection:
        connection.execute(
            "insert into control.stream_events (workspace_id, kind, data) values (%s, 'sync', %s)",
            [WORKSPACE, Jsonb({"mark": mark})],
        )


def measure(service: HttpService, home: Path) -> bool:
    """Print the figures of a service with facts; whether the targets were met."""
    today = datetime.now(UTC).date()
    with service.database.connect() as connection:
        row = connection.execute("select count(*) as n from marts.metric_facts").fetchone()
    print(f"{row['n'] if row else 0:,} facts; load {os.getloadavg()[0]:.1f}", flush=True)

    alone = one_after_the_other(service, today, 40)
    print("one question at a time, nothing beside it:")
    for name in alone.by_question:
        print(" ", alone.line(name), flush=True)

    with syncing(service, home) as codes:
        busy, rate = at_once(service, today, CLIENTS, SECONDS)
        everything = [each for values in busy.by_question.values() for each in values]
        print(f"{CLIENTS} clients without pause, a sync beside them:"
              f" {rate:.0f} requests/s, {percentiles(everything)}")  # fmt: skip
        for name in alone.by_question:
            print(" ", busy.line(name), flush=True)
        took, before, memory = asyncio.run(listen(service, LISTENERS, EVENTS))
    print(f"syncs that ended meanwhile, by exit code: {codes}; load {os.getloadavg()[0]:.1f}")
    print(f"{LISTENERS:,} streams: from an event to the last listener {percentiles(took)};"
          f" memory {before:.0f} MB without, {memory:.0f} MB with them")  # fmt: skip
    failed = [*alone.failed, *busy.failed]
    for each in failed[:10]:
        print("FAILED:", each)
    targets = (
        ("30 days of an account, by day", ACCOUNT_TARGET_MS),
        ("a year of the workspace, by month", WORKSPACE_TARGET_MS),
    )
    missed = [
        f"{name}: p95 {p95(alone.by_question[name]):.0f} ms, target {target} ms"
        for name, target in targets
        if p95(alone.by_question[name]) > target
    ]
    for each in missed:
        print("MISSED:", each)
    return not failed and not missed and not any(codes)


def main(facts: int = FACTS) -> bool:
    """Run it; whether the targets were met and every listener heard everything."""
    with tempfile.TemporaryDirectory(prefix="bench-load-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        with http_service(home) as service:
            export_environment(service.database)
            fill(service.database, Path(folder) / "dbt", days=max(1, facts // FACTS_A_DAY))
            with service.database.connect(autocommit=True) as connection:
                connection.execute(_RECONCILED)
                connection.execute("analyze marts.reconciliation")
            return measure(service, home)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=FACTS, help="in steps of 25,000, a day each")
    sys.exit(0 if main(parser.parse_args().facts) else 1)
