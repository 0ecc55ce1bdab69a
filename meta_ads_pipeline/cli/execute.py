"""``meta-ads exec``: other programs in the pipeline's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import typer
from sqlalchemy.engine import make_url

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.settings import PROJECT_ROOT


def run_command(database: Database, command: Sequence[str]) -> int:
    """Run ``command`` and return its exit code.

    It finds this environment's programs first, Dagster's home and storage, dbt's project and
    profile, and the database as libpq's ``PG*`` variables. Raises ``typer.BadParameter`` when
    there is no such program.
    """
    url = make_url(database.url)
    host = url.query.get("host", url.host or "localhost")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "DBT_PROJECT_DIR": str(PROJECT_ROOT / "dbt_project"),
        "DBT_PROFILES_DIR": str(PROJECT_ROOT / "dbt_project"),
        "PGHOST": host if isinstance(host, str) else host[0],
        "PGPORT": str(url.port or 5432),
        "PGUSER": url.username or "postgres",
        "PGPASSWORD": str(url.password or ""),
        "PGDATABASE": url.database or "postgres",
    }
    try:
        return subprocess.run(list(command), env=environment, check=False).returncode
    except FileNotFoundError as error:
        raise typer.BadParameter(f"there is no program {command[0]!r}") from error
