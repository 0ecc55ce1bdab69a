"""Small commands: query, exec, status, simulator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from datetime import date
from pathlib import Path

import pytest

from meta_ads_pipeline.cli.app import run
from meta_ads_pipeline.cli.report import account_days
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.settings import get_settings
from meta_ads_pipeline.windows import DateWindow
from tests.commands import run_meta_ads


@pytest.fixture
def environment(database: Database, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "META_ADS_DATABASE_URL": database.url,
        "META_ADS_HOME": str(tmp_path),
    }


def meta_ads(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_meta_ads(*arguments, environment=environment)


def test_before_the_first_build_there_are_no_days_to_show(database: Database) -> None:
    assert account_days(database, DateWindow(date(2026, 11, 1), date(2026, 11, 2))) == []


def test_a_query_gives_rows_as_json(environment: dict[str, str]) -> None:
    done = meta_ads(environment, "query", "--json", "select 1 as one, 1.10::numeric as money")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"one": 1, "money": "1.10"}]


def test_a_query_cannot_write(environment: dict[str, str], database: Database) -> None:
    done = meta_ads(environment, "query", "delete from control.workspaces")
    assert done.returncode == 1
    assert "read-only" in done.stderr
    with database.connect() as connection:
        row = connection.execute("select count(*) as n from control.workspaces").fetchone()
    assert row == {"n": 1}


def test_exec_reaches_the_database_without_more_words(
    environment: dict[str, str], tmp_path: Path
) -> None:
    say = (
        "import os, psycopg;"
        "print(psycopg.connect().execute('select current_database()').fetchone()[0]);"
        "print(os.environ['DAGSTER_HOME'])"
    )
    done = meta_ads(environment, "exec", sys.executable, "-c", say)
    assert done.returncode == 0, done.stderr
    database, home = done.stdout.split()
    assert environment["META_ADS_DATABASE_URL"].find(f"/{database}") > 0
    assert Path(home).is_relative_to(tmp_path)


def test_exec_leaves_the_program_its_words(
    environment: dict[str, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    code = run(["exec", sys.executable, "-c", "import sys; print(sys.argv[1:])", "--", "--help"])
    get_settings.cache_clear()
    assert (code, capfd.readouterr().out) == (0, "['--', '--help']\n")


def test_exec_passes_on_the_exit_code(environment: dict[str, str]) -> None:
    assert meta_ads(environment, "exec", sys.executable, "-c", "exit(7)").returncode == 7
    assert meta_ads(environment, "exec", "no-such-program").returncode == 2
    assert meta_ads(environment, "exec").returncode == 2


def test_status_of_an_empty_database_says_none(environment: dict[str, str]) -> None:
    done = meta_ads(environment, "status")
    assert done.returncode == 0, done.stderr
    assert "Slices that are not done: none" in done.stdout
    found = json.loads(meta_ads(environment, "status", "--json").stdout)
    assert found["accounts"] == []


def test_the_simulator_serves_until_it_is_stopped(environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "meta_ads_pipeline.cli", "simulator", "--port", "0", "--ads", "2"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http://"))
        with urllib.request.urlopen(f"{url}/v26.0/me/adaccounts?access_token=x") as response:
            accounts = json.load(response)["data"]
        assert len(accounts) == 3
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_a_fault_that_is_no_json_is_refused(environment: dict[str, str]) -> None:
    done = meta_ads(environment, "simulator", "--fault", "nonsense")
    assert done.returncode == 2
    assert "is not JSON" in done.stderr


def test_a_taken_port_is_one_clear_line(environment: dict[str, str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = meta_ads(environment, "simulator", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "--port" in done.stderr
