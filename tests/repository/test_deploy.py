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
from meta_ads_pipeline.serving.dagster_client import CODE_LOCATION
from meta_ads_pipeline.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
HELM = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
CONTAINERFILE = (DEPLOY / "container" / "Containerfile").read_text()
LOCK = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.M))
INSTANCE = yaml.safe_load((ROOT / "dagster.yaml").read_text())
DEFINITIONS = "meta_ads_pipeline.definitions"


def commands() -> list[list[str]]:
    units = (file.read_text() for file in sorted((DEPLOY / "systemd").glob("*.service")))
    started = [re.search(r"^ExecStart=\S*/(.*)$", unit, re.M)[1].split() for unit in units]  # type: ignore[index]
    composed = [s["command"] for s in COMPOSE["services"].values() if "command" in s]
    return [*started, *composed, *(container["command"] for container in chart_s_containers())]


def chart_s_containers() -> list[dict[str, Any]]:
    pods = (m["spec"]["template"]["spec"] for m in HELM["extraManifests"] if m["kind"] != "Service")
    return [container for pod in pods for container in pod["containers"]]


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
    assert code[code.index("-m") + 1] == DEFINITIONS
    (deployment,) = HELM["dagster-user-deployments"]["deployments"]
    assert deployment["codeServerArgs"] == ["-m", DEFINITIONS]
    (server,) = HELM["dagsterWebserver"]["workspace"]["servers"]
    assert (server["host"], server["port"]) == (deployment["name"], deployment["port"])
    assert {origin.location_name, server["name"]} == {CODE_LOCATION}
    for name in ("webserver", "daemon"):
        assert COMPOSE["services"][name]["command"][-1] == "deploy/compose/workspace.yaml"


def test_the_chart_s_queue_is_the_project_s() -> None:
    chosen = HELM["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    data = ConfigurableClassData(
        chosen["module"], chosen["class"], yaml.safe_dump(chosen["config"])
    )
    assert isinstance(data.rehydrate(LaneRunCoordinator), LaneRunCoordinator)
    assert chosen["config"] == INSTANCE["concurrency"]["runs"]


def test_the_chart_s_instance_is_the_project_s() -> None:
    daemon = HELM["dagsterDaemon"]
    for part in ("runMonitoring", "runRetries", "sensors"):
        own = INSTANCE[re.sub("([A-Z])", r"_\1", part).lower()]
        theirs = {re.sub("([A-Z])", r"_\1", k).lower(): v for k, v in daemon[part].items()}
        assert {"enabled": True, **own} == {"enabled": True, **theirs}
    retention = HELM["retention"]
    for part, own in INSTANCE["retention"].items():
        assert retention[part]["purgeAfterDays"] == own["purge_after_days"]
    assert retention["enabled"]
    assert HELM["telemetry"] == INSTANCE["telemetry"]
    for part, value in HELM["additionalInstanceConfig"].items():
        assert value == INSTANCE[part]


def test_the_chart_s_ports_are_open_to_a_user_who_is_not_root() -> None:
    webserver = HELM["dagsterWebserver"]
    port = webserver["service"]["port"]
    assert port > 1024
    assert webserver["readinessProbe"]["httpGet"]["port"] == port
    (url,) = (
        variable["value"]
        for container in chart_s_containers()
        for variable in container.get("env", ())
        if variable["name"] == "META_ADS_DAGSTER_URL"
    )
    assert url.endswith(f":{port}")


def test_the_chart_has_one_image() -> None:
    image = HELM["pipelineRun"]["image"]
    assert HELM["dagsterWebserver"]["image"] == HELM["dagsterDaemon"]["image"] == image
    assert {container["image"] for container in chart_s_containers()} == {
        f"{image['repository']}:{image['tag']}"
    }


def test_celery_s_launcher_and_workers_have_one_broker() -> None:
    folder = DEPLOY / "celery"
    launcher = yaml.safe_load((folder / "run_launcher.yaml").read_text())["run_launcher"]
    worker = yaml.safe_load((folder / "worker.yaml").read_text())["execution"]
    assert launcher["config"] == worker["config"]
    assert "run_launcher" not in INSTANCE


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
