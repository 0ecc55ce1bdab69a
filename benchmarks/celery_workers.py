"""Runs of one history spread over two Celery workers, of which one is killed: the result is exact.

    pip install "dagster-celery[redis]==0.29.27"     # the version beside the locked Dagster
    apt-get install redis-server
    python -m benchmarks celery_workers

Redis, a simulator, two workers, the webserver and the daemon are processes of their own, as on
machines of their own. Six runs of two dates are queued; when both workers are at it, one is
killed with all its processes. Its run is closed, started again, and waits for the other worker. In
the end every account-day is the simulator's truth to the cent, and no fact is there twice.

The simulator enforces the limits of Meta's development tier, as an app has them before its review,
and what the runs need at once is more than that. Both workers keep to one budget: no call is
refused for its rate, though each of them alone could have made all of them.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import requests

from benchmarks.ports import free_port
from meta_graph_simulator.config import DEFAULT_TOKEN, SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy" / "celery"
RUNS, DAYS_EACH = 6, 2
LAST = datetime.now(UTC).date() - timedelta(days=2)
SECONDS = 1500
SCORE, SCORE_SECONDS, HOURLY = 60, 300.0, 200
"""Of the development tier: reads of one ad account in five minutes, calls of the app in an hour."""
THROTTLED = frozenset({"4", "17", "32", "613", "80000", "80003", "80004"})

_LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


@contextmanager
def _program(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
        yield process
        kill(process.pid, signal.SIGTERM)
        process.wait(30)


def kill(pid: int, how: signal.Signals = signal.SIGKILL) -> None:
    """End a process and all that it started."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in processes:
        try:
            process.send_signal(how)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=20)


def _launch(url: str, start: date, end: date) -> str:
    prefix = "dagster/asset_partition_range_"
    tags = {f"{prefix}start": str(start), f"{prefix}end": str(end)}
    params = {
        "selector": {
            "repositoryLocationName": "meta_ads_pipeline",
            "repositoryName": "__repository__",
            "jobName": "sync",
        },
        "mode": "default",
        "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
    }
    body = {"query": _LAUNCH, "variables": {"params": params}}
    answer = requests.post(f"{url}/graphql", json=body, timeout=120).json()
    return str(answer["data"]["launchRun"]["run"]["runId"])


def _until(happened: Any, seconds: float = SECONDS) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if happened():
                return True
        except requests.ConnectionError:
            pass
        time.sleep(0.5)
    return False


def main() -> bool:
    """On a database, a broker and a simulator of its own."""
    missing = [name for name in ("redis-server",) if shutil.which(name) is None]
    missing += [n for n in ("dagster_celery", "redis") if importlib.util.find_spec(n) is None]
    if missing:
        print(f"not run: {', '.join(missing)} is not installed")
        return True
    with (
        tempfile.TemporaryDirectory(prefix="meta-ads-celery-") as place,
        SimulatorServer(
            SimulatorConfig(
                accounts=2,
                ads=20,
                from_date=LAST - timedelta(days=30),
                access_tier="development_access",
                enforce_limits=True,
            )
        ) as simulator,
    ):
        os.environ |= {
            "META_ADS_HOME": f"{place}/home",
            "META_ADS_DATABASE_URL": "",
            "META_GRAPH_URL": simulator.url,
            "META_ACCESS_TOKEN": DEFAULT_TOKEN,
            "META_ADS_REACH": "false",
        }
        from meta_ads_pipeline.cli.runtime import running

        with running() as runtime:
            return _prove(Path(place), runtime.database, simulator)


def _prove(place: Path, database: Any, simulator: SimulatorServer) -> bool:
    def rows(query: str) -> list[dict[str, Any]]:
        with database.connect() as connection:
            found: list[dict[str, Any]] = connection.execute(query).fetchall()
        return found

    def runs() -> list[str]:
        return [
            row["status"]
            for row in rows("select status from dagster.runs where pipeline_name = 'sync'")
        ]

    home, web = place / "dagster", f"http://127.0.0.1:{free_port()}"
    home.mkdir()
    parts = (ROOT / "dagster.yaml", DEPLOY / "run_launcher.yaml")
    (home / "dagster.yaml").write_text("\n".join(part.read_text() for part in parts))
    broker = f"redis://127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "META_ADS_DATABASE_URL": database.url,
        "DAGSTER_HOME": str(home),
        "DAGSTER_CELERY_BROKER": f"{broker}/0",
        "DAGSTER_CELERY_BACKEND": f"{broker}/1",
    }
    port = broker.rpartition(":")[2]
    worker = ["dagster-celery", "worker", "start", "-A", "dagster_celery.app"]
    with ExitStack() as stack:

        def start(name: str, *command: str) -> subprocess.Popen[bytes]:
            log = place / f"{name}.log"
            return stack.enter_context(_program(command, environment, log))

        start("redis", "redis-server", "--port", port, "--save", "", "--dir", str(place))
        workers = [
            start(n, *worker, "-y", str(DEPLOY / "worker.yaml"), "-n", n, "--", "--concurrency=1")
            for n in ("one", "two")
        ]
        start("web", "dagster-webserver", "-p", web.rpartition(":")[2], "-w", "workspace.yaml")
        start("daemon", "dagster-daemon", "run", "-w", "workspace.yaml")
        _until(lambda: requests.get(f"{web}/server_info", timeout=5).ok, 180)
        for number in range(RUNS):
            end = LAST - timedelta(days=DAYS_EACH * number)
            _launch(web, end - timedelta(days=DAYS_EACH - 1), end)
        landed = "select count(*) as n from control.slice_loads"
        both = _until(lambda: runs().count("STARTED") == 2 and rows(landed)[0]["n"] > 20, 300)
        print(f"both workers at work: {both}; one is killed at {rows(landed)[0]['n']} slices")
        kill(workers[0].pid)
        over = _until(lambda: runs().count("SUCCESS") >= RUNS)
        print(f"runs: {', '.join(runs())}")
    kept = _keeps_the_budget(simulator)
    return both and over and _is_exact(rows, simulator) and kept


def _keeps_the_budget(simulator: SimulatorServer) -> bool:
    """Whether no call was refused for its rate; how near to the limits both workers came."""
    calls = simulator.control.calls(limit=100_000)
    refused = sum(str(call["error_code"]) in THROTTLED for call in calls)
    accounts = {str(call["account_id"]) for call in calls if call["account_id"]}
    most = {
        account: _most([c["at"] for c in calls if c["account_id"] == account], SCORE_SECONDS)
        for account in sorted(accounts)
    }
    hourly = _most([call["at"] for call in calls], 3600.0)
    print(
        f"{len(calls)} calls, {refused} refused for their rate; in five minutes at most"
        f" {', '.join(f'{n} of act_{account}' for account, n in most.items())} (limit {SCORE});"
        f" in an hour at most {hourly} (limit {HOURLY})"
    )
    return not refused


def _most(instants: list[float], seconds: float) -> int:
    """The largest number within so many seconds."""
    instants = sorted(instants)
    first, most = 0, 0
    for number, at in enumerate(instants):
        while at - instants[first] > seconds:
            first += 1
        most = max(most, number - first + 1)
    return most


def _is_exact(rows: Any, simulator: SimulatorServer) -> bool:
    days = rows("select account_id, event_date, spend, impressions from marts.account_daily")
    wrong = 0
    for row in days:
        (truth,) = simulator.control.truth(row["account_id"], row["event_date"], row["event_date"])
        wrong += (Decimal(truth["spend"]), truth["impressions"]) != (
            row["spend"],
            row["impressions"],
        )
    facts = rows(
        "select count(*) as n, count(distinct natural_key) as keys from marts.metric_facts"
    )
    (counted,) = facts
    print(f"{len(days)} account-days, {wrong} differ from the truth; facts: {counted}")
    return bool(
        len(days) == 2 * RUNS * DAYS_EACH and not wrong and counted["n"] == counted["keys"] > 0
    )
