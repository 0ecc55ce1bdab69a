"""``meta-ads exec``: other programs in the pipeline's environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.settings import PROJECT_ROOT

app = options.command_app()


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        # What follows the program is the program's: a `--` or `--help` among it, too.
        "allow_interspersed_args": False,
    }
)
def execute(context: typer.Context) -> int:
    """Run a program, for instance dagster, dbt or psql, with database and environment ready."""
    if not context.args:
        raise typer.BadParameter("give a command, for instance: meta-ads exec dagster --help")
    with running(needs_api=False):
        return run_command(context.args)


def run_command(command: Sequence[str]) -> int:
    """Run ``command`` and return its exit code. Call it inside ``running()``.

    It finds this environment's programs first, Dagster's home and storage, dbt's project and
    profile, and the database as libpq's ``PG*`` variables. Raises ``typer.BadParameter`` when
    there is no such program.
    """
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "DBT_PROJECT_DIR": str(PROJECT_ROOT / "dbt_project"),
        "DBT_PROFILES_DIR": str(PROJECT_ROOT / "dbt_project"),
        "PGHOST": os.environ["META_ADS_DBT_HOST"],
        "PGPORT": os.environ["META_ADS_DBT_PORT"],
        "PGUSER": os.environ["META_ADS_DBT_USER"],
        "PGPASSWORD": os.environ["META_ADS_DBT_PASSWORD"],
        "PGDATABASE": os.environ["META_ADS_DBT_DATABASE"],
    }
    try:
        program = subprocess.Popen(list(command), env=environment)
    except FileNotFoundError as error:
        raise typer.BadParameter(f"there is no program {command[0]!r}") from error
    with _signals_passed_to(program):
        return program.wait()


@contextmanager
def _signals_passed_to(program: subprocess.Popen[bytes]) -> Iterator[None]:
    """What is to end this process ends the program; a terminal sends Ctrl-C to it by itself."""
    handlers: dict[int, Any] = {
        signal.SIGTERM: lambda *_: program.send_signal(signal.SIGTERM),
        signal.SIGINT: signal.SIG_IGN,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
