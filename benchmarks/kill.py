"""SIGKILL of the worker, of Postgres and of the simulator at random moments of a backfill.

After each the same command again. In the end the database must hold the simulator's truth, no
slice fetched twice, and no call may have asked for a slice that was done. The worker stands for
the pull and load of ``meta-ads sync``; the whole command closes the proof by building the marts.
``kill_command`` does the same to the whole command.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from benchmarks.truth import (
    conversion_differences,
    doubled_rows,
    fetched_more_than_once,
    marts_differences,
    raw_differences,
)
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
from meta_ads_pipeline.windows import DateWindow
from meta_graph_simulator.config import DEFAULT_TOKEN, SimulatorConfig
from meta_graph_simulator.http.process import SimulatorProcess

VICTIMS = ("worker", "postgres", "simulator")
KILLS = 50
_ROUND_SECONDS = 300


@dataclass
class KillReport:
    """What was done to it, and what came of it. ``problems`` empty is the proof."""

    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    days: int = 0
    slices: int = 0
    rows: int = 0
    calls: int = 0
    slices_asked: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """One line of figures."""
        victims = ", ".join(f"{number} of the {name}" for name, number in self.kills.items())
        return (
            f"{self.kills.total()} kills ({victims}) in {self.seconds:.0f} s; {self.starts} starts "
            f"of the command; {self.days} days, {self.slices} slices, {self.rows} hourly rows, "
            f"{self.calls} calls that asked for {self.slices_asked} slices; "
            f"{len(self.problems)} problems"
        )


@dataclass
class Killing:
    """The three processes, and the hand that kills them."""

    home: Path
    simulator: SimulatorProcess
    rng: random.Random
    days_a_round: int
    report: KillReport = field(default_factory=KillReport)
    log: list[dict[str, Any]] = field(default_factory=list)
    victims: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open the database; the lease keeps the server between two workers."""
        self.server = EmbeddedPostgres(self.home)
        self.database = Database(self.server.start(), server=self.server)
        self.database.migrate()
        state = self.simulator.control.state()
        self.accounts = [str(each["id"]).removeprefix("act_") for each in state["accounts"]]

    @property
    def environment(self) -> dict[str, str]:
        """What a command finds its database and its API by."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("META_")}
        return {
            **kept,
            "META_ADS_HOME": str(self.home),
            "META_GRAPH_URL": self.simulator.url,
            "META_ACCESS_TOKEN": DEFAULT_TOKEN,
        }

    def round(self, window: DateWindow, kills: int) -> None:
        """Run the same command until it is done, killing meanwhile; then compare."""
        deadline = time.monotonic() + _ROUND_SECONDS
        worker = self._start(window)
        while time.monotonic() < deadline:
            may_kill = self.report.kills.total() < kills
            with suppress(subprocess.TimeoutExpired):
                worker.wait(self.rng.uniform(0.05, 1.2) if may_kill else 60)
            if worker.poll() == 0:
                break
            if worker.poll() is not None:
                worker = self._start(window)
            elif may_kill:
                self._kill(self._next_victim(), worker)
        else:
            self.report.problems.append(f"{window.start}..{window.end} was never done")
            worker.kill()
        self.remember_calls()
        self.compare(window)

    def _start(self, window: DateWindow) -> subprocess.Popen[str]:
        self.report.starts += 1
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.backfill_worker"),
                *(window.start.isoformat(), window.end.isoformat()),
            ],
            cwd=Path(__file__).parents[1],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=(self.home / "worker.log").open("a"),
            text=True,
        )
        if worker.stdout is not None and self.rng.random() < 0.9:
            worker.stdout.readline()  # most kills strike the work, some the start
        return worker

    def _next_victim(self) -> str:
        """Each as often as the others, in random order."""
        if not self.victims:
            self.victims = self.rng.sample(VICTIMS, len(VICTIMS))
        return self.victims.pop()

    def _kill(self, victim: str, worker: subprocess.Popen[str]) -> None:
        if victim == "worker":
            worker.kill()
            worker.wait()
        elif victim == "postgres":
            self.kill_postgres()
        else:
            self.remember_calls()
            self.simulator.kill()
            time.sleep(self.rng.uniform(0, 0.5))
            self.simulator.start()
        self.report.kills[victim] += 1

    def kill_postgres(self) -> None:
        """SIGKILL of the postmaster, if there is one at the moment."""
        with suppress(OSError, IndexError, ValueError, psutil.Error):
            pid_file = self.home / "postgres/postmaster.pid"
            os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)

    def remember_calls(self) -> None:
        """Keep the simulator's log, which goes with its process."""
        since = 0
        while calls := self.simulator.control.calls(since=since):
            self.log += calls
            since = int(calls[-1]["number"])
        self.simulator.control.reset("stats")

    def compare(self, window: DateWindow) -> None:
        """The landed rows with the truth, and the calls with what was done at their time."""
        report = self.report
        report.days += len(window.dates)
        control = self.simulator.control
        report.problems += raw_differences(self.database, control, self.accounts, window)
        again = fetched_more_than_once(self.database)
        if again:
            report.problems.append(f"{again} slices were loaded more than once")
        report.problems += self._asked_though_done()
        with self.database.connect() as connection:
            row = connection.execute(
                "select (select count(*) from control.slices) as slices,"
                " (select count(*) from control.slices where status <> 'done') as undone,"
                " (select count(*) from raw.insights_hourly) as rows"
            ).fetchone()
        assert row is not None
        report.slices, report.rows, report.calls = row["slices"], row["rows"], len(self.log)
        if row["undone"]:
            report.problems.append(f"{row['undone']} slices are not done")

    def _asked_though_done(self) -> list[str]:
        """Calls for insights of a slice at a moment when it was done."""
        with self.database.connect() as connection:
            loads = connection.execute(
                "select account_id, asset, partition_date, extract(epoch from min(loaded_at))"
                "   ::float as at from control.slice_loads group by 1, 2, 3"
            ).fetchall()
        done = {
            (row["account_id"], row["asset"], row["partition_date"]): row["at"] for row in loads
        }
        found = []
        self.report.slices_asked = 0
        for call in self.log:
            asset = _asset_of(call)
            if asset is None:
                continue
            asked = json.loads(call["params"]["time_range"])
            first, last = date.fromisoformat(asked["since"]), date.fromisoformat(asked["until"])
            for day in DateWindow(first, last).dates:
                self.report.slices_asked += 1
                loaded_at = done.get((call["account_id"], asset, day))
                if loaded_at is not None and call["at"] > loaded_at:
                    found.append(f"{asset} of act_{call['account_id']} on {day} was asked again")
        return found

    def compare_marts(self, window: DateWindow) -> None:
        """The marts with the truth: spend to the cent, conversions, no row twice."""
        control, report = self.simulator.control, self.report
        report.problems += marts_differences(self.database, control, self.accounts, window)
        report.problems += conversion_differences(self.database, control, self.accounts, window)
        doubled = doubled_rows(self.database)
        if doubled:
            report.problems.append(f"{doubled} rows of the marts are there twice")

    def whole_command(self, window: DateWindow) -> None:
        """``meta-ads sync`` over everything: nothing may change, and the marts are the truth."""
        done = subprocess.run(
            sync_command(window),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        report = json.loads(done.stdout or "{}")
        if done.returncode or report.get("rows_changed") != 0:
            self.report.problems.append(
                f"meta-ads sync: exit {done.returncode}, {report.get('rows_changed')} rows changed"
                f" {report.get('errors') or done.stderr[-500:]}"
            )
        self.compare_marts(window)


def sync_command(window: DateWindow) -> list[str]:
    """``meta-ads sync`` of a window, as a user types it."""
    dates = ("--start", window.start.isoformat(), "--end", window.end.isoformat())
    return [sys.executable, "-m", "meta_ads_pipeline.cli", "sync", "--json", *dates]


def prove(
    *,
    kills: int = KILLS,
    seed: int = 1,
    accounts: int = 3,
    ads: int = 12,
    days_a_round: int = 20,
    whole_command: bool = True,
) -> KillReport:
    """Backfill windows further and further back, until so many kills have been survived."""
    config = SimulatorConfig(
        accounts=accounts, ads=ads, job_seconds=0.2, latency_ms=25, latency_jitter_ms=25
    )
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="meta-ads-kill-", ignore_cleanup_errors=True) as home,
        SimulatorProcess(config) as simulator,
    ):
        rng = random.Random(seed)
        killing = Killing(Path(home) / "home", simulator, rng, days_a_round)
        last = end = datetime.now(UTC).date() - timedelta(days=2)
        start = end
        while killing.report.kills.total() < kills:
            start = end - timedelta(days=days_a_round - 1)
            killing.round(DateWindow(start, end), kills)
            end = start - timedelta(days=1)
        if whole_command:
            killing.whole_command(DateWindow(start, last))
        killing.database.dispose()
        killing.server.release()
    killing.report.seconds = time.monotonic() - started
    return killing.report


def main() -> bool:
    """The full proof: whether there was no problem."""
    from benchmarks import kill_command

    problems = []
    for report in (prove(), kill_command.prove()):
        print(report.line(), flush=True)
        problems += report.problems
    for problem in problems[:20]:
        print(f"  {problem}")
    return not problems


def _asset_of(call: dict[str, Any]) -> str | None:
    """The asset that a call for insights is about; None for another call, and for ids only.

    Reach is left out: two of its dates may share a period.
    """
    params = call["params"]
    if call["edge"] not in {"insights", "insights_report"} or "time_range" not in params:
        return None
    if "unique_clicks" in str(params.get("fields")):
        return None
    if params.get("level") == "account":
        return "account_totals"
    if params.get("level") != "ad":
        return None
    return "insights_hourly" if "breakdowns" in params else "insights_daily"
