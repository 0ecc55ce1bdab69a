"""The job ``sync`` in this process, as a run of the code location that ``meta-ads up`` loads."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meta_ads_pipeline.settings import PROJECT_ROOT

if TYPE_CHECKING:
    import dagster as dg

_MODULE, _ATTRIBUTE = "meta_ads_pipeline.definitions", "defs"
_DBT_STEP = "dbt"
_DBT_ERRORS = "Errors parsed from dbt logs:"
_DBT_NODE = re.compile(r"\d+ of \d+ ")
_COLORS = re.compile(r"\x1b?\[\d+m")
_CLASS_PATH = re.compile(r"^(?:[A-Za-z_]\w*\.)+\w+: ")


@dataclass(frozen=True)
class JobResult:
    """How a run ended. Errors are for people: no class path, no SQL, no trace."""

    succeeded: bool
    failed_steps: list[str] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """All that failed."""
        return [*self.failed_steps, *self.failed_checks, *self.errors]


@dataclass
class Steps:
    """How many steps of a run are over, of how many, which is at work, and so for the marts."""

    total: int = 0
    finished: int = 0
    current: str = ""
    marts: int = 0
    marts_built: int = 0


def run_job(
    tags: dict[str, str],
    log_file: Path,
    *,
    run_id: str | None = None,
    groups_left_out: Sequence[str] = (),
    steps: Steps | None = None,
) -> JobResult:
    """Run the job and wait. What dbt says goes to ``log_file``.

    Raises ``KeyboardInterrupt`` when it was interrupted: the run is then canceled, not failed, so
    that nobody is alerted of what a person did.
    """
    from meta_ads_pipeline.definitions import build_defs
    from meta_ads_pipeline.run_workers import run_tags_of_a_command

    run_id = run_id or str(uuid.uuid4())
    job = build_defs().resolve_job_def("sync")
    layer = job.asset_layer
    chosen = [
        key
        for key in layer.executable_asset_keys
        if layer.get(key).group_name not in groups_left_out
    ]
    with _instance(steps or Steps()) as instance, log_file.open("a") as log, redirect_stdout(log):
        if steps is not None:
            steps.total, steps.marts_built = len(job.nodes), 0
            built = [node for node in job.nodes if node.name.startswith(_DBT_STEP)]
            steps.marts = sum(len(node.definition.output_defs) for node in built)
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            tags={**run_tags_of_a_command(run_id), **tags},
            asset_selection=chosen if groups_left_out else None,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        if close_run(instance, run_id, "Interrupted. The same request resumes."):
            raise KeyboardInterrupt
        return _result(result)


def close_run(instance: dg.DagsterInstance, run_id: str, why: str) -> bool:
    """Mark a run as canceled that nothing works on any more; False when it is over already."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return False
    instance.report_run_canceled(run, message=why)
    return True


@contextmanager
def _instance(steps: Steps) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance, with what makes a run of this process like one of the daemon's.

    ``execute_in_process`` takes no origin, without which a run has no page, is not on Home and is
    seen by no sensor of the code location (``run_status_sensor_definition.py`` compares the run's
    ``remote_job_origin``). Nor does it tell an interrupt from a failure, but for a run that
    ``will resume``: that one it leaves open, for ``close_run``.
    """
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        # One pooled connection instead of a new one for each of hundreds of events.
        instance.optimize_for_webserver(
            statement_timeout=60_000, pool_recycle=3600, max_overflow=20
        )
        overrides: dict[str, Callable[..., Any]] = {
            "create_run_for_job": partial(instance.create_run_for_job, **_origins("sync")),
            "run_will_resume": lambda _run_id: True,
            "handle_new_event": partial(_counted, instance.handle_new_event, steps),
        }
        for name, override in overrides.items():
            setattr(instance, name, override)
        yield instance


def _counted(handle: Callable[..., Any], steps: Steps, event: Any, **options: Any) -> Any:
    found = event.dagster_event
    if found is not None and found.step_key:
        if found.is_step_start:
            steps.current = found.step_key
        elif found.is_step_success or found.is_step_failure or found.is_step_skipped:
            steps.finished += 1
            if found.step_key.startswith(_DBT_STEP):
                steps.marts_built = steps.marts
        elif found.is_successful_output and found.step_key.startswith(_DBT_STEP):
            steps.marts_built += 1
    return handle(event, **options)


def _origins(job_name: str) -> dict[str, Any]:
    """Where the job comes from: as workspace.yaml names it, and as code."""
    from dagster._core.code_pointer import ModuleCodePointer
    from dagster._core.definitions.reconstruct import ReconstructableRepository
    from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
    from dagster._core.remote_origin import RemoteRepositoryOrigin
    from dagster._core.workspace.load import location_origins_from_yaml_paths

    (location,) = location_origins_from_yaml_paths([str(PROJECT_ROOT / "workspace.yaml")])
    repository = RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME)
    code = ReconstructableRepository(
        ModuleCodePointer(_MODULE, _ATTRIBUTE, working_directory=str(PROJECT_ROOT))
    )
    return {
        "remote_job_origin": repository.get_job_origin(job_name),
        "job_code_origin": code.get_reconstructable_job(job_name).get_python_origin(),
    }


def _result(result: dg.ExecuteInProcessResult) -> JobResult:
    import dagster as dg

    failed_steps, errors = [], []
    for event in result.get_step_failure_events():
        failed_steps.append(event.step_key or "?")
        failure = event.step_failure_data
        if failure.user_failure_data and failure.user_failure_data.description:
            errors.append(failure.user_failure_data.description)
        elif failure.error:
            errors.append(plain_error((failure.error.cause or failure.error).message))
    failed_checks = [
        f"{each.asset_key.to_user_string()}: {each.check_name}"
        for each in result.get_asset_check_evaluations()
        if not each.passed and each.severity == dg.AssetCheckSeverity.ERROR
    ]
    return JobResult(result.success, failed_steps, failed_checks, errors)


def plain_error(message: str) -> str:
    """A serialized exception's message without its class path and without a page of SQL.

    Of dbt's only what it says itself failed, without the command and the count of nodes.
    """
    if _DBT_ERRORS in message:
        said = _COLORS.sub("", message.split(_DBT_ERRORS, maxsplit=1)[1])
        lines = [line.strip() for line in said.splitlines()]
        return "dbt: " + " ".join(line for line in lines if line and not _DBT_NODE.match(line))
    return _CLASS_PATH.sub("", message.split("\n[SQL:", maxsplit=1)[0].strip())
