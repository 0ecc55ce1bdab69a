"""What the files of ``deploy/`` name exists: commands, programs, settings, modules, versions."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths
from dagster._serdes import ConfigurableClassData

from meta_ads_pipeline.automation.run_queue import LaneRunCoordinator
from meta_ads_pipeline.cli.app import COMMANDS, load_command
from meta_ads_pipeline.control.dagster_storage import URL_VARIABLE
from meta_ads_pipeline.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
HELM = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
CONTAINERFILE = (DEPLOY / "container" / "Containerfile").read_text()
LOCK = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.M))
CODE_LOCATION = "meta_ads_pipeline.definitions"


def commands() -> list[list[str]]:
    units = (file.read_text() for file in sorted((DEPLOY / "systemd").glob("*.service")))
    started = [re.search(r"^ExecStart=\S*/(.*)$", unit, re.M)[1].split() for unit in units]  # type: ignore[index]
    return [*started, *(s["command"] for s in COMPOSE["services"].values() if "command" in s)]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_exists_with_its_options(command: list[str]) -> None:
    program, name, *arguments = command
    assert program == "meta-ads"
    assert name in COMMANDS
    if name == "exec":
        assert shutil.which(arguments[0], path=str(Path(sys.executable).parent))
        return
    known = {option for parameter in load_command(name).params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("-")} <= known


def test_every_variable_is_a_setting() -> None:
    known = {str(field.alias) for field in Settings.model_fields.values()} | {URL_VARIABLE}
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    for path in files:
        named = set(re.findall(r"\b(?:META_[A-Z_]+|PERFORMANCE_SYNC_\w+)\b", path.read_text()))
        assert named <= known, path


def test_the_workspace_finds_the_code_location() -> None:
    (origin,) = location_origins_from_yaml_paths([str(DEPLOY / "compose" / "workspace.yaml")])
    assert isinstance(origin, GrpcServerCodeLocationOrigin)
    code = COMPOSE["services"][origin.host]["command"]
    assert code[code.index("-p") + 1] == str(origin.port)
    assert code[code.index("-m") + 1] == CODE_LOCATION
    (deployment,) = HELM["dagster-user-deployments"]["deployments"]
    assert deployment["codeServerArgs"] == ["-m", CODE_LOCATION]
    for name in ("webserver", "daemon"):
        assert COMPOSE["services"][name]["command"][-1] == "deploy/compose/workspace.yaml"


def test_the_chart_s_queue_is_the_project_s() -> None:
    chosen = HELM["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    data = ConfigurableClassData(
        chosen["module"], chosen["class"], yaml.safe_dump(chosen["config"])
    )
    assert isinstance(data.rehydrate(LaneRunCoordinator), LaneRunCoordinator)
    own = yaml.safe_load((ROOT / "dagster.yaml").read_text())["concurrency"]["runs"]
    assert chosen["config"] == own


def test_celery_s_launcher_and_workers_have_one_broker() -> None:
    folder = DEPLOY / "celery"
    launcher = yaml.safe_load((folder / "run_launcher.yaml").read_text())["run_launcher"]
    worker = yaml.safe_load((folder / "worker.yaml").read_text())["execution"]
    assert launcher["config"] == worker["config"]
    assert "run_launcher" not in yaml.safe_load((ROOT / "dagster.yaml").read_text())


def test_the_image_has_what_it_copies_and_the_locked_versions() -> None:
    for source in re.findall(r"^COPY (.*) \S+$", CONTAINERFILE, re.M):
        assert all((ROOT / name).exists() for name in source.split())
    # Dagster's libraries have a version of their own, the same for all of them.
    of_libraries = {LOCK["dagster-postgres"]}
    for file in (CONTAINERFILE, (ROOT / "docs" / "sizing.md").read_text()):
        assert set(re.findall(r"dagster-(?:k8s|celery\[redis\])==([\d.]+)", file)) == of_libraries
    assert f"--version {LOCK['dagster']}" in (DEPLOY / "helm" / "values.yaml").read_text()
    builds: dict[str, Any] = COMPOSE["x-pipeline"]["build"]
    assert (DEPLOY / "compose" / builds["context"] / builds["dockerfile"]).resolve().exists()
