"""Power cuts at random moments of ``meta-ads up`` with its schedules on; then the same command.

Every process of the home is frozen, then killed: the command, the web server, the daemon, code
servers, runs, dbt, Postgres, the simulator. Nobody acts. The target: a refresh of today runs within
two minutes of the restart, or of its next tick where that is later, every time.

``python -m benchmarks power_cut``; ``POWER_CUTS`` is how many (10).
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
from psycopg.rows import dict_row

from benchmarks.ports import free_port

CUTS = int(os.environ.get("POWER_CUTS", "10"))
TARGET_SECONDS = 120.0
INTERVAL_MINUTES = 5
_UP_SECONDS = 300
_LONGEST_SECONDS = 600

_RUNS_OF_TODAY = """
select r.run_id, r.status, to_timestamp(r.start_time) as started_at
from dagster.runs as r
join dagster.run_tags as t on t.run_id = r.run_id
where t.key = 'meta_ads/refresh' and t.value = 'today' and r.start_time is not null
order by r.start_time
"""
_IN_PROGRESS = """
select status, count(*) as runs from dagster.runs
where status in ('QUEUED', 'STARTING', 'STARTED', 'CANCELING') group by 1
"""


@dataclass(frozen=True)
class Restart:
    """One restart after a cut. Seconds from the command, and from when a refresh was due."""

    at: datetime
    in_progress: str
    until_up: float
    until_started: float
    late_by: float


@dataclass
class Deployment:
    """``meta-ads up`` with one home; its database is reached through the embedded socket."""

    home: Path
    port: int
    serve_port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> datetime:
        """Give the command; returns when (UTC)."""
        at = datetime.now(UTC)
        log = (self.home.parent / "up.log").open("ab")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "meta_ads_pipeline.cli", "up"),
                *("--port", str(self.port), "--serve-port", str(self.serve_port)),
            ],
            env={
                **os.environ,
                "META_ADS_HOME": str(self.home),
                "META_ADS_DATABASE_URL": "",
                "META_ACCESS_TOKEN": "",
                "META_ADS_SCHEDULES_ON": "true",
                "PERFORMANCE_SYNC_INTERVAL_MINUTES": str(INTERVAL_MINUTES),
            },
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return at

    def wait_until_up(self) -> None:
        """Until the web server answers. Raises ``RuntimeError`` when the command ended instead."""
        assert self.process is not None
        deadline = time.monotonic() + _UP_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError((self.home.parent / "up.log").read_text()[-2000:])
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.5)
        raise RuntimeError(f"not up after {_UP_SECONDS} s")

    def query(self, sql: str) -> list[dict[str, object]]:
        """Rows of the database; none while it does not answer."""
        url = f"postgresql://postgres@/meta_ads?host={self.home}/postgres"
        try:
            with psycopg.connect(url, row_factory=dict_row, connect_timeout=5) as connection:
                return connection.execute(sql).fetchall()
        except psycopg.Error:
            return []

    def cut(self) -> None:
        """Freeze every process of the home, then kill it."""
        while processes := self._processes():
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for process in processes:
                    with suppress(psutil.Error):
                        process.send_signal(number)
            psutil.wait_procs(processes)  # their sockets close with their end, not before
        assert self.process is not None
        self.process.wait()

    def _processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                    continue
                of_home = process.environ().get("META_ADS_HOME") == str(self.home)
                if of_home or process.cwd().startswith(str(self.home)):
                    found.append(process)
        return found


def next_tick(after: datetime) -> datetime:
    """The first tick of the schedule of today at or after an instant (UTC)."""
    step = timedelta(minutes=INTERVAL_MINUTES).total_seconds()
    return datetime.fromtimestamp(-(-after.timestamp() // step) * step, UTC)


def restart(deployment: Deployment, cut_at: datetime, in_progress: str) -> Restart:
    """Start again and wait until a refresh of today runs."""
    at = deployment.start()
    deployment.wait_until_up()
    up = datetime.now(UTC)
    # Cut off in the middle, or a tick was missed: due at once. Else with its next tick.
    due = at if "today" in in_progress or next_tick(cut_at) <= at else next_tick(cut_at)
    deadline = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < deadline:
        for run in deployment.query(_RUNS_OF_TODAY):
            started = run["started_at"]
            if isinstance(started, datetime) and started >= at:
                return Restart(
                    at,
                    in_progress,
                    (up - at).total_seconds(),
                    (started - at).total_seconds(),
                    (started - due).total_seconds(),
                )
        time.sleep(1)
    return Restart(at, in_progress, (up - at).total_seconds(), float("inf"), float("inf"))


def _in_progress(deployment: Deployment) -> str:
    said = [f"{row['runs']} {row['status']}" for row in deployment.query(_IN_PROGRESS)]
    today = deployment.query(
        "select 1 from dagster.runs as r join dagster.run_tags as t on t.run_id = r.run_id"
        " where t.key = 'meta_ads/refresh' and t.value = 'today'"
        " and r.status in ('QUEUED', 'STARTING', 'STARTED')"
    )
    return ", ".join([*said, *(["today among them"] if today else [])]) or "nothing"


def main() -> bool:
    """Cut and restart; whether every refresh of today was in time."""
    chance = random.Random(11)
    with tempfile.TemporaryDirectory(prefix="meta-ads-power-", ignore_cleanup_errors=True) as place:
        deployment = Deployment(Path(place) / "home", free_port(), free_port())
        restarts: list[Restart] = []
        try:
            deployment.start()
            deployment.wait_until_up()
            print(f"{'cut in':42} {'up':>6} {'runs':>6} {'after due':>10}  seconds", flush=True)
            for _ in range(CUTS):
                time.sleep(chance.uniform(0, 60))
                before = _in_progress(deployment)
                cut_at = datetime.now(UTC)
                deployment.cut()
                last = restart(deployment, cut_at, before)
                restarts.append(last)
                print(
                    f"{last.in_progress:42} {last.until_up:6.0f} {last.until_started:6.0f}"
                    f" {last.late_by:10.0f}",
                    flush=True,
                )
        finally:
            if deployment.process is not None:
                deployment.cut()
    worst = max(each.late_by for each in restarts)
    print(
        f"{len(restarts)} power cuts; a refresh of today ran at most {worst:.0f} s after it was "
        f"due (target {TARGET_SECONDS:.0f} s)"
    )
    return worst <= TARGET_SECONDS
