"""dbt's folders are few and warm, it ends with who started it, and a restart is tried again."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import psutil
import pytest

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.raw.first_change import row_changed
from meta_ads_pipeline.settings import Settings
from meta_ads_pipeline.transform import dbt_cli
from meta_ads_pipeline.transform.assets import again_after_a_restart
from meta_ads_pipeline.transform.dbt_cli import KEPT_FOLDERS, DbtCli, lines_of, new_folder
from meta_ads_pipeline.transform.dbt_process import PARENT_VARIABLE
from meta_ads_pipeline.transform.project import DBT_PROJECT_DIR

PARSED = "partial_parse.msgpack"


def test_only_the_last_folders_are_kept(tmp_path: Path) -> None:
    made = []
    for number in range(KEPT_FOLDERS + 3):
        folder = new_folder(tmp_path / "dbt", f"run{number}", tmp_path / "none")
        os.utime(folder, (number, number))
        made.append(folder)
    assert set((tmp_path / "dbt").iterdir()) == set(made[-KEPT_FOLDERS:])


def test_a_folder_begins_with_what_was_parsed_last(tmp_path: Path) -> None:
    parsed = tmp_path / "project" / PARSED
    first = new_folder(tmp_path / "dbt", "first", parsed)
    assert not (first / PARSED).exists()
    parsed.parent.mkdir()
    parsed.write_text("the project's")
    second = new_folder(tmp_path / "dbt", "second", parsed)
    assert (second / PARSED).read_text() == "the project's"
    (second / PARSED).write_text("the second's")
    third = new_folder(tmp_path / "dbt", "third", parsed)
    assert (third / PARSED).read_text() == "the second's"


PARSER = """#!/bin/sh
sleep 0.5
echo "$@" >> "$1/asked"
echo parsed > "$DBT_TARGET_PATH/partial_parse.msgpack"
"""


def test_a_project_that_was_never_parsed_is_parsed_beside_the_pulls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbt_cli, "get_settings", lambda: Settings(META_ADS_HOME=tmp_path / "home"))
    monkeypatch.setattr(dbt_cli, "start_server", lambda: None)
    program = tmp_path / "dbt"
    program.write_text(PARSER)
    program.chmod(0o755)

    def run() -> list[str]:
        """The words of the commands that a run with changed rows and one build gives."""
        dbt = DbtCli(
            project_dir=str(DBT_PROJECT_DIR),
            profiles_dir=str(DBT_PROJECT_DIR),
            dbt_executable=str(program),
            global_config_flags=[str(tmp_path)],
        )
        (tmp_path / "asked").write_text("")
        dbt.setup_for_execution(None)
        row_changed()
        built = dbt.cli(["build"])
        assert built.target_path.is_relative_to(tmp_path)
        assert (built.target_path / PARSED).read_text() == "parsed\n", "it has waited"
        built.wait()
        dbt.teardown_after_execution(None)
        asked = (tmp_path / "asked").read_text().splitlines()
        return [line.split()[1] for line in asked]

    assert run() == ["parse", "build"]
    assert run() == ["build"]


def test_a_pull_goes_on_where_there_is_no_room_for_a_parse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    monkeypatch.setattr(dbt_cli, "get_settings", lambda: Settings(META_ADS_HOME=tmp_path / "home"))
    monkeypatch.setattr(dbt_cli, "start_server", lambda: None)
    dbt = DbtCli(project_dir=str(DBT_PROJECT_DIR), dbt_executable=sys.executable)
    dbt.setup_for_execution(None)
    row_changed()
    dbt.teardown_after_execution(None)
    assert "the dbt project is not parsed beforehand" in caplog.text


START = """
import os, subprocess, sys, time
os.environ[sys.argv[1]] = str(os.getpid())
print(subprocess.Popen(sys.argv[2:]).pid, flush=True)
time.sleep(60)
"""


def test_dbt_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    dbt = [
        *(sys.executable, "-m", "meta_ads_pipeline.transform.dbt_process", "parse", "--quiet"),
        *("--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR)),
        *("--target-path", str(tmp_path), "--log-path", str(tmp_path), "--no-partial-parse"),
    ]
    parent = subprocess.Popen(
        [sys.executable, "-c", START, PARENT_VARIABLE, *dbt], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs([child], timeout=20)
    assert not alive
    assert not (tmp_path / "manifest.json").exists(), "it was over before"


class Server:
    """What is asked of the database: when its server started."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def started_at(self) -> datetime:
        return self.at


def test_only_what_fails_under_a_restart_is_asked_for_again() -> None:
    server = Server()
    database = cast("Database", server)
    with again_after_a_restart(database):
        pass

    def fail(*, restart: bool) -> None:
        server.at += timedelta(seconds=restart)
        raise ValueError("what dbt says")

    with pytest.raises(ValueError, match="what dbt says"), again_after_a_restart(database):
        fail(restart=False)
    with pytest.raises(dg.RetryRequested) as asked, again_after_a_restart(database):
        fail(restart=True)
    assert asked.value.max_retries == 1
    with again_after_a_restart(database):
        server.at += timedelta(seconds=1)


def test_whoever_stops_listening_to_dbt_hears_no_more_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No complaint about a generator that goes on: an interrupt prints one sentence."""
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    event = '{"info": {"level": "error", "msg": "no such column"}, "data": {}}'
    script = f"print('warming up'); print({event!r}); print('more')"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    heard: list[str] = []
    lines = lines_of(cast(Any, SimpleNamespace(process=process, _error_messages=heard)))
    assert next(lines) == "warming up"
    assert cast(Any, next(lines))["info"]["msg"] == "no such column"
    assert heard == ["no such column"]
    del lines
    process.wait()
    assert said == []
