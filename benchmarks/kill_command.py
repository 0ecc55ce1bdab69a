"""SIGKILL under ``meta-ads sync`` itself, as users run it: Dagster, dbt and all.

Each kill strikes the sync of another window. Where the command was killed, the same command again
must complete it; where Postgres was killed during dbt, the command must end well by itself. Then
raw and marts must hold the simulator's truth, no row twice, and no call may have asked for a slice
that was done.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from benchmarks.kill import Killing, KillReport, sync_command
from meta_ads_pipeline.windows import DateWindow
from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.process import SimulatorProcess

GROUP, COMMAND, POSTGRES = "process group", "command alone", "Postgres"
DURING_DBT, ANY_TIME = "during dbt", "at any time"
STRIKES = (
    (COMMAND, DURING_DBT),
    (POSTGRES, DURING_DBT),
    (GROUP, DURING_DBT),
    (GROUP, ANY_TIME),
    (POSTGRES, DURING_DBT),
    (COMMAND, ANY_TIME),
)
"""Who is killed, and when; over and over in this order."""
KILLS = 12
_COMMAND_SECONDS = 300
_DBT_PROCESS = "meta_ads_pipeline.transform.dbt_process"


@dataclass
class KilledCommand:
    """The command, and what becomes of it."""

    killing: Killing
    rng: random.Random
    dbt_seconds: float = 4.0
    start_seconds: float = 8.0

    @property
    def _log(self) -> Path:
        return self.killing.home / "command.log"

    def survive(self, window: DateWindow, victim: str, moment: str) -> None:
        """Kill once while the window is synced, then see to it that the command completes it."""
        report = self.killing.report
        with self._command(window) as command:
            struck = self._wait_for(command, moment)
            if struck:
                report.kills[f"{victim} {moment}"] += 1
                self._kill(command, victim)
            else:
                report.problems.append(f"{window.start}: over before the kill {moment}")
            code = self._code(command)
        if victim == POSTGRES and code != 0:
            report.problems.append(f"{window.start}: exit {code} after Postgres was killed")
        if code != 0:
            with self._command(window) as again:
                code = self._code(again)
            if code != 0:
                report.problems.append(f"{window.start}: exit {code} of the same command again")
                raise RuntimeError(f"it stays broken:\n{self._log.read_text()[-3000:]}")
        self.killing.remember_calls()
        self.killing.compare(window)
        self.killing.compare_marts(window)

    @contextmanager
    def _command(self, window: DateWindow) -> Iterator[subprocess.Popen[str]]:
        """A session of its own, so that its process group can be killed."""
        self.killing.report.starts += 1
        with self._log.open("a") as log:
            command = subprocess.Popen(
                sync_command(window),
                env=self.killing.environment,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            yield command
        finally:
            with suppress(ProcessLookupError):
                os.killpg(command.pid, signal.SIGKILL)
            command.wait()

    def _wait_for(self, command: subprocess.Popen[str], moment: str) -> bool:
        """Wait until it is time to kill; False when the command was over before."""
        if moment == ANY_TIME:
            with suppress(subprocess.TimeoutExpired):
                command.wait(self.rng.uniform(0.2, self.start_seconds))
            return command.poll() is None
        while command.poll() is None:
            if dbt_of(command.pid) is not None:
                with suppress(subprocess.TimeoutExpired):
                    command.wait(self.rng.uniform(0.0, self.dbt_seconds))
                return command.poll() is None
            time.sleep(0.02)
        return False

    def _kill(self, command: subprocess.Popen[str], victim: str) -> None:
        if victim == POSTGRES:
            self.killing.kill_postgres()
        elif victim == COMMAND:
            dbt = dbt_of(command.pid)
            command.kill()
            if dbt is not None:
                self._orphan_must_end(dbt)
        else:
            os.killpg(command.pid, signal.SIGKILL)

    def _orphan_must_end(self, dbt: psutil.Process) -> None:
        try:
            dbt.wait(10)
        except psutil.TimeoutExpired:
            self.killing.report.problems.append("dbt went on writing after its command was killed")

    def _code(self, command: subprocess.Popen[str]) -> int:
        try:
            return command.wait(_COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            self.killing.report.problems.append("the command did not end")
            return 1


def dbt_of(pid: int) -> psutil.Process | None:
    """The dbt that builds under this process, if it is at work."""
    with suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):
                command = child.cmdline()
                if _DBT_PROCESS in command and "build" in command:
                    return child
    return None


def prove(
    *,
    kills: int = KILLS,
    strikes: Sequence[tuple[str, str]] = STRIKES,
    seed: int = 1,
    accounts: int = 2,
    days: int = 3,
) -> KillReport:
    """Windows further and further back, one kill in each."""
    config = SimulatorConfig(
        accounts=accounts, ads=8, job_seconds=0.2, latency_ms=25, latency_jitter_ms=25
    )
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="meta-ads-kill-", ignore_cleanup_errors=True) as home,
        SimulatorProcess(config) as simulator,
    ):
        rng = random.Random(seed)
        killing = Killing(Path(home) / "home", simulator, rng, days)
        command = KilledCommand(killing, rng)
        end = datetime.now(UTC).date() - timedelta(days=2)
        for number in range(kills):
            window = DateWindow(end - timedelta(days=days - 1), end)
            command.survive(window, *strikes[number % len(strikes)])
            end = window.start - timedelta(days=1)
        killing.database.dispose()
        killing.server.release()
    killing.report.seconds = time.monotonic() - started
    return killing.report
