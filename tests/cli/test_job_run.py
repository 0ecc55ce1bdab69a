"""A sync's run as Dagster and people see it: whose it is, how far it is, what went wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import yaml

from meta_ads_pipeline.cli.job_run import Steps, _counted, _origins, plain_error
from meta_ads_pipeline.settings import PROJECT_ROOT


def test_a_run_is_the_code_location_s_that_up_loads() -> None:
    """Without that it has no page, is not on Home, and no sensor of the location sees it fail."""
    workspace = yaml.safe_load((PROJECT_ROOT / "workspace.yaml").read_text())
    ((loaded,),) = [entry.values() for entry in workspace["load_from"]]
    origin = _origins("sync")["remote_job_origin"]
    assert origin.job_name == "sync"
    location = origin.repository_origin.code_location_origin
    assert location.location_name == loaded.get("location_name", loaded["module_name"])


def _event(step: str, **what: bool) -> Any:
    kinds = ("start", "success", "failure", "skipped")
    found = {f"is_step_{kind}": what.get(kind, False) for kind in kinds}
    return SimpleNamespace(
        dagster_event=SimpleNamespace(
            step_key=step, is_successful_output=what.get("output", False), **found
        )
    )


def test_progress_moves_with_each_mart_and_ends_whole() -> None:
    steps = Steps(total=2, marts=4)
    seen = []

    def happens(step: str, **what: bool) -> None:
        _counted(lambda _event: None, steps, _event(step, **what))
        seen.append((steps.finished, steps.marts_built))

    happens("raw__ads", start=True)
    happens("raw__ads", output=True)
    happens("raw__ads", success=True)
    happens("dbt_marts", start=True)
    happens("dbt_marts", output=True)
    happens("dbt_marts", output=True)
    happens("dbt_marts", success=True)
    assert seen == [(0, 0), (0, 0), (1, 0), (1, 0), (1, 1), (1, 2), (2, 4)]


def test_errors_are_for_people() -> None:
    raised = "meta_ads_pipeline.control.database.DatabaseError: the server is away\n"
    assert plain_error(raised) == "the server is away"
    assert plain_error("sqlalchemy.exc.DataError: too long\n[SQL: insert into x]") == "too long"
    assert plain_error("act_1: (#10) no") == "act_1: (#10) no"


def test_of_dbt_only_what_failed_is_said() -> None:
    raised = (
        "dagster_dbt.errors.DagsterDbtCliRuntimeError: The dbt CLI process with command\n\n"
        "`/venv/bin/python -m dbt build --exclude a b c`\n\nfailed with exit code `1`. Check the "
        "stdout in the Dagster compute logs.\n\nErrors parsed from dbt logs:\n\n"
        "98 of 120 FAIL 2 sums ...... [\x1b[31mFAIL 2\x1b[0m in 1.12s]\n\n"
        "\x1b[31mFailure in test sums (tests/sums.sql)\x1b[0m\n\n"
        "  Got 2 results, configured to fail if != 0\n"
    )
    assert plain_error(raised) == (
        "dbt: Failure in test sums (tests/sums.sql) Got 2 results, configured to fail if != 0"
    )
