"""dbt forked from a process that has it imported: its streams, its end, and who ends with whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from meta_ads_pipeline.transform.dbt_process import PARENT_VARIABLE
from meta_ads_pipeline.transform.dbt_server import ADDRESS_VARIABLE, start_server
from meta_ads_pipeline.transform.project import DBT_PROJECT_DIR

DBT = [sys.executable, "-m", "meta_ads_pipeline.transform.dbt_process"]
STARTED = """
import os, time
from meta_ads_pipeline.transform.dbt_server import ADDRESS_VARIABLE, start_server
start_server()
start_server()
print(os.environ[ADDRESS_VARIABLE], flush=True)
time.sleep(120)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the server is for Linux alone")


@pytest.fixture
def run() -> Iterator[subprocess.Popen[str]]:
    """A run's process, which has started a server."""
    environment = {k: v for k, v in os.environ.items() if k != ADDRESS_VARIABLE}
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED], env=environment, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture
def environment(run: subprocess.Popen[str]) -> Mapping[str, str]:
    """The environment of a dbt command of that run."""
    assert run.stdout is not None
    address = run.stdout.readline().strip()
    return {**os.environ, ADDRESS_VARIABLE: address, PARENT_VARIABLE: str(os.getpid())}


def parse(folder: Path) -> list[str]:
    """A dbt command that takes some seconds."""
    return [
        *(*DBT, "parse", "--no-partial-parse", "--target-path", str(folder)),
        *("--log-path", str(folder)),
        *("--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR)),
    ]


def children_of(run: subprocess.Popen[str]) -> list[psutil.Process]:
    """The server and what it has forked."""
    return psutil.Process(run.pid).children(recursive=True)


def until_it_works(run: subprocess.Popen[str], folder: Path) -> list[psutil.Process]:
    """Wait until dbt writes its log; the one server, and the one dbt forked from it."""
    deadline = time.monotonic() + 60
    while not (folder / "dbt.log").exists():
        assert time.monotonic() < deadline, "dbt did not begin"
        time.sleep(0.05)
    # Not what dbt starts for a moment, such as git.
    (server,) = psutil.Process(run.pid).children()
    (dbt,) = server.children()
    return [server, dbt]


def test_a_pull_goes_on_where_there_is_no_room_for_a_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)
    too_long = tmp_path / ("x" * 120)  # a socket's path has 108 bytes
    too_long.mkdir()
    for folder in (tmp_path / "gone", too_long):
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        start_server()
        assert caplog.messages[-1].startswith("dbt is imported anew for each of its commands: ")
    assert ADDRESS_VARIABLE not in os.environ
    assert list(tmp_path.rglob("meta-ads-dbt-*")) == []


def test_streams_arguments_and_exit_codes_are_the_commands_own(
    environment: Mapping[str, str],
) -> None:
    good = subprocess.run(
        [*DBT, "--version"], env=environment, capture_output=True, text=True, check=False
    )
    assert good.returncode == 0
    assert "installed" in good.stdout
    bad = subprocess.run(
        [*DBT, "nonsense"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert bad.returncode == 2
    assert bad.stdout == ""
    assert "nonsense" in bad.stderr


def test_a_whole_parse_says_nothing_of_its_own(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [*parse(tmp_path), "--quiet"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_killed_command_takes_its_dbt_with_it(
    run: subprocess.Popen[str], environment: Mapping[str, str], tmp_path: Path
) -> None:
    command = subprocess.Popen(parse(tmp_path), env=environment, stdout=subprocess.DEVNULL)
    until_it_works(run, tmp_path)
    command.kill()
    command.wait()
    deadline = time.monotonic() + 20
    while len(children_of(run)) > 1:
        assert time.monotonic() < deadline, "dbt goes on alone"
        time.sleep(0.05)
    assert not (tmp_path / "manifest.json").exists(), "it was over before"


def test_an_interrupt_reaches_dbt(
    run: subprocess.Popen[str], environment: Mapping[str, str], tmp_path: Path
) -> None:
    command = subprocess.Popen(parse(tmp_path), env=environment, stdout=subprocess.DEVNULL)
    processes = until_it_works(run, tmp_path)
    for process in processes:
        process.suspend()  # a machine that is busy might let it end before
    command.send_signal(signal.SIGINT)
    time.sleep(0.5)
    for process in processes:
        process.resume()
    assert command.wait(timeout=20) != 0


def test_the_server_ends_with_the_run_and_leaves_nothing(
    run: subprocess.Popen[str], environment: Mapping[str, str], tmp_path: Path
) -> None:
    command = subprocess.Popen(parse(tmp_path), env=environment, stdout=subprocess.DEVNULL)
    processes = until_it_works(run, tmp_path)
    run.kill()
    run.wait()
    command.kill()
    command.wait()
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive
    assert not Path(environment[ADDRESS_VARIABLE]).parent.exists()


def test_without_a_server_dbt_is_a_process_of_its_own(tmp_path: Path) -> None:
    environment = {**os.environ, ADDRESS_VARIABLE: str(tmp_path / "nobody")}
    done = subprocess.run(
        [*DBT, "--version"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "installed" in done.stdout
