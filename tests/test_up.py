"""`meta-ads up`: the UI, a backfill launched there, Ctrl-C, and everything as it was afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres

pytestmark = pytest.mark.slow

DAYS = [f"2026-11-{day:02}" for day in range(10, 17)]
LAUNCH = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
STATE = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status runs(limit: 50) { id status } }
  }
}"""


def graphql(url: str, query: str, **variables: Any) -> Any:
    request = urllib.request.Request(
        f"{url}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["data"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def up(home: Path) -> Iterator[tuple[str, subprocess.Popen[str], str]]:
    """A running `meta-ads up`, the UI's address, and that of the dashboard with its key."""
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "meta_ads_pipeline.cli",
            "up",
            "--port",
            str(port),
            "--serve-port",
            str(free_port()),
        ],
        env={**os.environ, "META_ADS_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C" in line:
                break
        else:
            pytest.fail("".join(said))
        dashboard = next(line for line in said if line.startswith("Dashboard")).split()[1]
        yield f"http://127.0.0.1:{port}", process, dashboard
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(300)
        print(process.stdout.read() if process.stdout else "")


def sign_in(address: str, key: str) -> requests.Response:
    """What the dashboard answers to this key."""
    return requests.post(address, {"key": key}, timeout=60)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.fixture
def home() -> Iterator[Path]:
    """Not under pytest's folder: as root, Postgres runs as another user, who must get there."""
    with tempfile.TemporaryDirectory(prefix="meta-ads-up-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "home"


def test_a_backfill_from_the_ui_is_one_run_and_survives_a_restart(home: Path) -> None:
    with up(home) as (url, process, dashboard):
        address, key = dashboard.split("#key=")
        assert "No ad account yet" in sign_in(address, key).text
        assets = graphql(url, "{ assetNodes { assetKey { path } isExecutable } }")["assetNodes"]
        selected = [asset["assetKey"] for asset in assets if asset["isExecutable"]]
        launched = graphql(
            url, LAUNCH, params={"assetSelection": selected, "partitionNames": DAYS}
        )["launchPartitionBackfill"]
        state: dict[str, Any] = {"status": "REQUESTED"}
        deadline = time.monotonic() + 800
        while state["status"] == "REQUESTED" and time.monotonic() < deadline:
            time.sleep(2)
            state = graphql(url, STATE, id=launched["backfillId"])["partitionBackfillOrError"]
        assert state["status"] == "COMPLETED_SUCCESS", state
        assert [run["status"] for run in state["runs"]] == ["SUCCESS"], "seven days, one run"
        children = family(process)
        assert children
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, [child.cmdline() for child in alive]
    server = EmbeddedPostgres(home)
    assert not server._is_running(), "the last one out stops the server"

    with up(home) as (url, _, dashboard):
        address, of_this_start = dashboard.split("#key=")
        assert "Does it agree with Ads Manager?" in sign_in(address, of_this_start).text
        assert sign_in(address, key).status_code == 401, "it ended with the first start"
        again = graphql(url, STATE, id=launched["backfillId"])["partitionBackfillOrError"]
        assert again == state, "the history is as it was"
        query = subprocess.run(
            [
                *(sys.executable, "-m", "meta_ads_pipeline.cli", "query", "--json"),
                "select count(distinct (account_id, event_date)) as n from marts.account_daily",
            ],
            env={**os.environ, "META_ADS_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        assert json.loads(query.stdout) == [{"n": 3 * len(DAYS)}]
