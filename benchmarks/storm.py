"""Everything goes wrong at once, unattended: the sensors end at the simulator's truth.

A fifth of all calls fails in mixed ways, two accounts are blocked, reports get stuck or fail, and
the token expires half-way until somebody repairs it. A backfill is started once; what it leaves
undone is asked for by the sensors, whose runs are the whole job. Waits and limits run on a fast
clock. The calls of the same backfill in fair weather tell what the storm cost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.sensor_worker import Tick
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
from meta_graph_simulator.config import SimulatorConfig, TokenSpec
from meta_graph_simulator.http.process import SimulatorProcess

TOKEN = "EAAstormtokenstormtokenstorm"
MOST_STARTS = 12
MOST_TICKS = 40
FAILING_CALLS: tuple[dict[str, Any], ...] = (
    {"kind": "transient", "code": 2, "probability": 0.05},
    {"kind": "transient", "code": 1, "probability": 0.03},
    {"kind": "html", "http_status": 502, "probability": 0.04},
    {"kind": "reset", "fraction": 0.5, "probability": 0.04},
    {"kind": "reset", "before_answer": True, "probability": 0.02},
    {"kind": "truncate", "fraction": 0.7, "probability": 0.03},
)
"""Together a fifth of all calls."""
OTHER_TROUBLE: tuple[dict[str, Any], ...] = (
    {"kind": "report_stuck", "percent": 40, "times": 1},
    {"kind": "report_failed", "probability": 0.1},
    {"kind": "report_skipped", "times": 1},
    {"kind": "report_hundred_running", "times": 1},
    {"kind": "reduce_data", "times": 3},
    {"kind": "short_page", "rows": 40, "probability": 0.05},
    {"kind": "empty_page", "probability": 0.05},
    {"kind": "null_batch_item", "probability": 0.1},
    {"kind": "no_usage_headers", "probability": 0.2},
)


@dataclass
class StormReport:
    """Calls as the simulator counts them; ``problems`` empty is the proof."""

    accounts: int
    days: int
    fair_calls: int = 0
    fair_seconds: float = 0.0
    calls: int = 0
    failed_calls: int = 0
    seconds: float = 0.0
    starts: int = 0
    ticks: int = 0
    sensor_runs: int = 0
    slices: int = 0
    rows: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def wasted(self) -> int:
        """Calls that fair weather would not have needed."""
        return self.calls - self.fair_calls

    def line(self) -> str:
        """One line of figures."""
        faults = ", ".join(f"{name} {number}" for name, number in sorted(self.faults.items()))
        return (
            f"{self.accounts} accounts x {self.days} days, {self.slices} slices, {self.rows} "
            f"hourly rows: {self.calls} calls, {self.failed_calls} of them failed, {self.wasted} "
            f"more than the {self.fair_calls} in fair weather; {self.seconds:.0f} s against "
            f"{self.fair_seconds:.0f} s; {self.starts} starts of the command, {self.sensor_runs} "
            f"runs that the sensors asked for in {self.ticks} ticks; faults: {faults}; "
            f"{len(self.problems)} problems"
        )


@dataclass
class Backfill:
    """A database of its own, a simulator, and the same command again and again."""

    home: Path
    simulator: SimulatorProcess
    window: DateWindow
    speed: float
    starts: int = 0
    ticks: int = 0
    runs: int = 0

    def __post_init__(self) -> None:
        """Open the database."""
        self.epoch = time.time()
        self.server = EmbeddedPostgres(self.home)
        self.database = Database(self.server.start(), server=self.server)
        self.database.migrate()
        state = self.simulator.control.state()
        self.accounts = [str(each["id"]).removeprefix("act_") for each in state["accounts"]]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a Python module as a user would, with only this backfill's settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("META_")}
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=Path(__file__).parents[1],
            env={
                **kept,
                "META_ADS_HOME": str(self.home),
                "META_GRAPH_URL": self.simulator.url,
                "META_ACCESS_TOKEN": TOKEN,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def until_done(self, most_starts: int = MOST_STARTS) -> bool:
        """The same command until it succeeds; a person repairs the token when it was refused."""
        arguments = (
            *("benchmarks.backfill_worker", self.window.start.isoformat()),
            *(self.window.end.isoformat(), str(self.speed), str(self.epoch)),
        )
        while self.starts < most_starts:
            self.starts += 1
            done = self.command(*arguments)
            if done.returncode == 0:
                return True
            if "code 190" in done.stderr or "is paused" in done.stderr:
                self.simulator.control.repair_token(TOKEN)
        return False

    def by_sensors(self) -> bool:
        """Tick the sensors, and let time pass between, until nothing is left to fetch."""
        for _ in range(MOST_TICKS):
            self.ticks += 1
            done = self.command("benchmarks.sensor_worker", str(self.speed), str(self.epoch))
            if done.returncode:
                raise RuntimeError(f"the sensors' tick failed:\n{done.stderr[-2000:]}")
            outcome = Tick(**json.loads(done.stdout.splitlines()[-1]))
            self.runs += outcome.sensor is not None
            if outcome.sensor is None and not outcome.open_slices:
                return True
            if outcome.refused_slices:
                self.simulator.control.repair_token(TOKEN)
            if outcome.sensor is None:
                self.pass_time((outcome.due_in_seconds or 60) + 1)
        return False

    def pass_time(self, seconds: float) -> None:
        """Move every clock: the simulator's, the workers', and what the database remembers."""
        self.simulator.control.advance_clock(seconds)
        self.epoch -= seconds / (self.speed - 1)
        with self.database.connect() as connection:
            connection.execute(
                "update control.slices set next_attempt_at = next_attempt_at - %(ago)s,"
                " started_at = started_at - %(ago)s, finished_at = finished_at - %(ago)s"
                " where status <> 'done'",
                {"ago": timedelta(seconds=seconds)},
            )

    def close(self) -> None:
        """Stop the server."""
        self.database.dispose()
        self.server.release()


@dataclass
class _Weather:
    """Adds trouble as the calls go by: two blocks, then the token's end. A thread of its own."""

    backfill: Backfill
    fair_calls: int
    block_seconds: float

    def __post_init__(self) -> None:
        control = self.backfill.simulator.control
        self._stop = threading.Event()
        for fault in (*FAILING_CALLS, *OTHER_TROUBLE):
            control.add_fault(**fault)
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        simulator, accounts = self.backfill.simulator, self.backfill.accounts
        control = type(simulator.control)(simulator.url)
        first, second = accounts[0], accounts[-1]
        steps: list[tuple[float, Callable[[], None]]] = [
            (0.2, partial(self._block, control, first, 17, 2446079)),
            (0.35, partial(self._block, control, second, 80000, None)),
            (0.5, partial(control.expire_token, TOKEN)),
        ]
        while steps and not self._stop.wait(0.1):
            share, act = steps[0]
            if int(control.stats()["calls"]) >= share * self.fair_calls:
                act()
                steps.pop(0)
        control.close()

    def _block(self, control: Any, account: str, code: int, subcode: int | None) -> None:
        control.add_fault(
            "rate_limit",
            match={"account": account},
            times=1,
            code=code,
            subcode=subcode,
            seconds=self.block_seconds,
        )


def prove(
    *,
    accounts: int = 5,
    days: int = 30,
    ads: int = 16,
    speed: float = 30.0,
    block_minutes: float = 20.0,
    whole_command: bool = True,
) -> StormReport:
    """The same backfill in fair weather and in the storm, each into a database of its own."""
    end = datetime.now(UTC).date() - timedelta(days=2)
    window = DateWindow(end - timedelta(days=days - 1), end)
    config = SimulatorConfig(
        accounts=accounts,
        ads=ads,
        clock_speed=speed,
        job_seconds=20,
        latency_ms=20,
        tokens=(TokenSpec(token=TOKEN),),
        any_token=False,
    )
    report = StormReport(accounts, days)
    with tempfile.TemporaryDirectory(prefix="storm-", ignore_cleanup_errors=True) as home:
        with SimulatorProcess(config) as simulator:
            fair = Backfill(Path(home) / "fair", simulator, window, speed)
            started = time.monotonic()
            if not fair.until_done():
                report.problems.append("not even fair weather")
            report.fair_seconds = time.monotonic() - started
            report.fair_calls = int(simulator.control.stats()["calls"])
            fair.close()
        with SimulatorProcess(config) as simulator:
            storm = Backfill(Path(home) / "storm", simulator, window, speed)
            started = time.monotonic()
            with _Weather(storm, report.fair_calls, block_minutes * 60):
                # With the whole command, the sensors do all that the first start leaves undone.
                if whole_command:
                    storm.until_done(most_starts=1)
                    done = storm.by_sensors()
                else:
                    done = storm.until_done()
                if not done:
                    report.problems.append("the storm was not survived")
            report.seconds, report.starts = time.monotonic() - started, storm.starts
            report.ticks, report.sensor_runs = storm.ticks, storm.runs
            _judge(storm, report, whole_command=whole_command)
            storm.close()
    return report


def _judge(storm: Backfill, report: StormReport, *, whole_command: bool) -> None:
    control = storm.simulator.control
    stats = control.stats()
    report.calls = int(stats["calls"])
    report.failed_calls = sum(int(edge["failed"]) for edge in stats["edges"].values())
    report.faults = {
        **{str(name): int(number) for name, number in stats["by_fault"].items()},
        **{f"code {name}": int(number) for name, number in stats["by_error"].items()},
    }
    with storm.database.connect() as connection:
        row = connection.execute(
            "select (select count(*) from control.slices where status = 'done') as slices,"
            " (select count(*) from raw.insights_hourly) as rows"
        ).fetchone()
        assert row is not None
        report.slices, report.rows = row["slices"], row["rows"]
    window, accounts = storm.window, storm.accounts
    report.problems += raw_differences(storm.database, control, accounts, window)
    again = fetched_more_than_once(storm.database)
    if again:
        report.problems.append(f"{again} slices were loaded more than once")
    if not whole_command:
        return
    database = storm.database
    report.problems += marts_differences(database, control, accounts, window)
    report.problems += conversion_differences(database, control, accounts, window)
    doubled = doubled_rows(database)
    if doubled:
        report.problems.append(f"{doubled} rows of the marts are there twice")


def main(arguments: list[str] | None = None) -> bool:
    """The full proof: whether there was no problem."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accounts", type=int, default=5)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--ads", type=int, default=16, help="of each account")
    parser.add_argument("--speed", type=float, default=30.0, help="of the clock")
    parser.add_argument("--block-minutes", type=float, default=20.0, help="that a limit lasts")
    report = prove(**vars(parser.parse_args(arguments or [])))
    print(report.line())
    for problem in report.problems[:20]:
        print(f"  {problem}")
    return not report.problems
