"""From a change at Meta to the row of the marts that shows it, in a running deployment.

    python -m benchmarks.latency --changes 12

`meta-ads up` with schedules on and today refreshed without pause, and the simulator as Meta. It is
subscribed to as Meta is, and announces what changes of an ad, which is timed to its row of
``marts.dim_ads``. Numbers it announces as little as Meta does: they are timed to the ad's hour in
``marts.metric_facts``. The changes come at random moments.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from benchmarks.ports import free_port
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
from meta_graph_simulator.config import SimulatorConfig, TokenSpec
from meta_graph_simulator.http.control_client import ControlClient
from meta_graph_simulator.http.process import SimulatorProcess

TOKEN, APP_ID, APP_SECRET = "EAAlatencytokenlatencytoken", "424242424242", "latency secret"
NUMBERS = "numbers"
TARGET_SECONDS = 30.0
NUMBERS_TARGET_SECONDS = 60.0
GIVE_UP_SECONDS = 300.0
START_SECONDS = 180.0


@dataclass
class LatencyReport:
    """Seconds from a change at Meta to the dimension, by kind of change."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def line(self) -> str:
        """One line of figures."""
        return "; ".join(
            f"{kind}: median {median(several):.1f} s, longest {max(several):.1f} s"
            f" ({', '.join(f'{each:.1f}' for each in several)})"
            for kind, several in self.seconds.items()
        )

    @property
    def is_met(self) -> bool:
        """Whether every change was there in time."""
        return all(
            max(several) < (NUMBERS_TARGET_SECONDS if kind == NUMBERS else TARGET_SECONDS)
            for kind, several in self.seconds.items()
        )


def measure(changes: int, seed: int = 1) -> LatencyReport:
    """Start it all, make the changes, stop it all."""
    chance, report = random.Random(seed), LatencyReport()
    config = SimulatorConfig(
        accounts=2,
        ads=12,
        app_id=APP_ID,
        app_secret=APP_SECRET,
        tokens=(TokenSpec(token=TOKEN),),
        any_token=False,
    )
    with ExitStack() as stack:
        home = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="latency-", ignore_cleanup_errors=True)
            )
        )
        simulator = stack.enter_context(SimulatorProcess(config))
        port = free_port()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("META_")},
            "META_ADS_HOME": str(home / "home"),
            "META_GRAPH_URL": simulator.url,
            "META_ACCESS_TOKEN": TOKEN,
            "META_APP_ID": APP_ID,
            "META_APP_SECRET": APP_SECRET,
            "META_APP_VERIFY_TOKEN": "latency",
            "META_ADS_SCHEDULES_ON": "true",
            "PERFORMANCE_SYNC_INTERVAL_MINUTES": "0",
        }
        today = datetime.now(UTC).date()
        span = ["--start", str(today - timedelta(days=2)), "--end", str(today)]
        _command(environment, "sync", *span)
        ports = ("--port", str(free_port()), "--serve-port", str(port))
        stack.enter_context(_program(environment, "Ctrl-C", "up", *ports))
        _command(environment, "webhooks", "subscribe", "--url", f"http://127.0.0.1:{port}")
        server = EmbeddedPostgres(home / "home")
        database = Database(server.start(), server=server)
        stack.callback(server.release)
        stack.callback(database.dispose)
        for number in range(changes):
            time.sleep(chance.uniform(0, 40))
            kind, seconds = _change(number, simulator.control, database, chance)
            report.seconds.setdefault(kind, []).append(seconds)
            print(f"{datetime.now(UTC):%H:%M:%S} {kind}: {seconds:.1f} s", flush=True)
    return report


def _change(
    number: int, control: ControlClient, database: Database, chance: random.Random
) -> tuple[str, float]:
    """Make one change; its kind, and the seconds until the marts show it."""
    if number % 2:
        return NUMBERS, _numbers(control, database, chance)
    with database.connect() as connection:
        rows = connection.execute(
            "select ad_id, adset_id from marts.dim_ads where effective_status = 'ACTIVE'"
            " order by ad_id"
        ).fetchall()
    ad = chance.choice(rows)
    started = time.monotonic()
    match number // 2 % 3:
        case 0:
            control.change_object(ad["ad_id"], status="PAUSED")
            kind, shown = "paused", (ad["ad_id"], "PAUSED")
        case 1:
            made = control.add_ad(ad["adset_id"], f"Ad {number}")
            kind, shown = "new ad", (made, "ACTIVE")
        case _:
            issue = {"error_code": 2460003, "error_summary": "Rejected"}
            control.change_object(ad["ad_id"], effective_status="WITH_ISSUES", issues_info=[issue])
            kind, shown = "with issues", (ad["ad_id"], "WITH_ISSUES")
    query = "select from marts.dim_ads where ad_id = %s and effective_status = %s"
    return kind, _seconds_until(database, started, query, shown)


def _numbers(control: ControlClient, database: Database, chance: random.Random) -> float:
    """Add impressions to an hour of today; the seconds until its fact has them."""
    fact = (
        "select account_id, ad_id, event_date, event_hour, impressions from marts.metric_facts"
        " inner join marts.account_dates using (account_id)"
        " where grain = 'hour' and event_date = today"
    )
    with database.connect() as connection:
        row = chance.choice(connection.execute(f"{fact} order by natural_key").fetchall())
    started = time.monotonic()
    control.adjust(
        f"act_{row['account_id']}",
        row["ad_id"],
        row["event_date"],
        {"impressions": 100_000},
        hour=row["event_hour"],
    )
    return _seconds_until(
        database,
        started,
        f"{fact} and ad_id = %s and event_hour = %s and event_date = %s and impressions >= %s",
        [row["ad_id"], row["event_hour"], row["event_date"], row["impressions"] + 100_000],
    )


def _seconds_until(
    database: Database, started: float, query: str, parameters: Sequence[object]
) -> float:
    """From ``started`` until the query finds a row; at most ``GIVE_UP_SECONDS``."""
    while time.monotonic() < started + GIVE_UP_SECONDS:
        with database.connect() as connection:
            found = connection.execute(query.encode(), parameters).fetchone()
        if found is not None:
            return time.monotonic() - started
        time.sleep(0.2)
    return GIVE_UP_SECONDS


def _command(environment: Mapping[str, str], *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "meta_ads_pipeline.cli", *arguments],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


@contextmanager
def _program(environment: Mapping[str, str], ready: str, *arguments: str) -> Iterator[None]:
    """A `meta-ads` program that has said ``ready``; told to end afterwards."""
    with tempfile.NamedTemporaryFile("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "meta_ads_pipeline.cli", *arguments],
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while ready not in (text := Path(said.name).read_text()):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"meta-ads {arguments[0]} did not start: {text}")
                time.sleep(0.2)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def main(arguments: list[str] | None = None) -> bool:
    """Whether every change was in the dimension in time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments or [])
    report = measure(chosen.changes, chosen.seed)
    print(report.line())
    return report.is_met


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
