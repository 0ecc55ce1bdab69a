"""``meta-ads`` in a process of its own, forked from one that has the libraries imported.

Importing them is half of what a small command costs. The project's own modules are imported by
each process, because some read the settings when they are.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from meta_ads_pipeline.transform.dbt_server import ADDRESS_VARIABLE, start_server

_LIBRARIES = (
    *("alembic.command", "dagster", "dagster_dbt", "dagster_postgres", "facebook_business.api"),
    *("fastapi", "pandas", "pandera.pandas", "psycopg", "requests", "rich.progress", "typer"),
)

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(list(_LIBRARIES))


def run_meta_ads(
    *arguments: str, environment: Mapping[str, str], stdin: str = "", timeout: float = 800
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as ``subprocess.run`` does.

    Raises ``subprocess.TimeoutExpired`` after so many seconds; the process is killed then.
    """
    start_server()  # one for all commands of these tests
    if address := os.environ.get(ADDRESS_VARIABLE):
        environment = {ADDRESS_VARIABLE: address, **environment}
    with tempfile.TemporaryDirectory(prefix="meta-ads-command-") as name:
        folder = Path(name)
        (folder / "stdin").write_text(stdin)
        process = _processes.Process(
            target=_command, args=(folder, arguments, dict(environment), Path.cwd())
        )
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, timeout)
        said = [(folder / stream).read_text() for stream in ("stdout", "stderr")]
        assert process.exitcode is not None
        return subprocess.CompletedProcess(arguments, process.exitcode, *said)


def _command(
    folder: Path, arguments: tuple[str, ...], environment: dict[str, str], directory: Path
) -> None:
    """In the new process: be ``python -m meta_ads_pipeline.cli`` with these arguments."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    for number, (stream, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        file = (folder / stream).open(mode)
        os.dup2(file.fileno(), number)
    sys.stdin = os.fdopen(0)
    sys.argv = ["meta-ads", *arguments]
    from meta_ads_pipeline.cli import main

    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        atexit._run_exitfuncs()  # multiprocessing leaves without
