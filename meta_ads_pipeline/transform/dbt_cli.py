"""dbt from Dagster: dagster-dbt's resource, faster to start, tidier, and never left alone."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.version import Version
from pydantic import PrivateAttr

from meta_ads_pipeline.raw.first_change import at_first_change
from meta_ads_pipeline.settings import get_settings
from meta_ads_pipeline.transform.dbt_process import PARENT_VARIABLE, main
from meta_ads_pipeline.transform.dbt_server import start_server
from meta_ads_pipeline.transform.without_dbt import DbtCliInvocation, DbtCliResource, DbtProject

logger = logging.getLogger(__name__)

KEPT_FOLDERS = 5
"""Of so many dbt invocations the artifacts and logs are kept."""

_PARSED = "partial_parse.msgpack"
_PROCESS = main.__module__


class DbtCli(DbtCliResource):
    """The dbt of this environment, wherever PATH points.

    Artifacts and logs go to a folder per invocation under ``META_ADS_HOME/dbt``, of which the last
    few are kept; each begins with what the one before it has parsed.
    """

    _parse: DbtCliInvocation | None = PrivateAttr(default=None)

    @cached_property
    def _cli_version(self) -> Version:
        # dagster-dbt runs `dbt --version`: 2 s, and dbt looks for newer releases on the internet.
        return Version(metadata.version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:
        """None: only dagster-dbt's own row counts and column metadata would need one."""

    def setup_for_execution(self, _context: Any) -> None:
        """Have dbt imported beside the run's pulls, once one of them has changed something.

        The project is parsed there, too, where that was never done for this database (5 s).
        """
        at_first_change(self._prepare)

    def teardown_after_execution(self, _context: Any) -> None:
        """End a parse that nothing has waited for."""
        if self._parse is not None:
            self._parse.process.kill()
            self._parse.process.communicate()

    def _prepare(self) -> None:
        start_server()
        if any(_folders().glob(f"*/{_PARSED}")):
            return
        try:
            self._parse = self.cli(["parse", "--quiet"], raise_on_error=False)
        except OSError as error:  # whoever asks is a pull, which does not need it
            logger.warning("the dbt project is not parsed beforehand: %s", error)

    def cli(
        self,
        args: Sequence[str],
        *,
        context: Any = None,
        target_path: Path | None = None,
        **options: Any,
    ) -> DbtCliInvocation:
        """Start dbt. dagster-dbt's documentation has the arguments."""
        if self._parse is not None:
            self._parse.process.communicate()
            self._parse = None
        if target_path is None:
            run = "manual" if context is None else context.run.run_id[:8]
            target_path = new_folder(_folders(), run, Path(self.project_dir) / "target" / _PARSED)
        os.environ[PARENT_VARIABLE] = str(os.getpid())
        return super().cli(args, context=context, target_path=target_path, **options)

    @contextmanager
    def running(self, args: Sequence[str], *, context: Any = None) -> Iterator[DbtCliInvocation]:
        """dbt for as long as the block lasts: whoever leaves early stops it."""
        invocation = self.cli(args, context=context)
        # In place of dagster-dbt's own, which answers being closed with one more line: Python then
        # prints "generator ignored GeneratorExit" at an interrupt.
        invocation._stdout = lines_of(invocation)  # type: ignore[assignment]
        try:
            yield invocation
        finally:
            if invocation.process.poll() is None:
                invocation.process.kill()
                invocation.process.wait()


def lines_of(invocation: DbtCliInvocation) -> Iterator[str | dict[str, Any]]:
    """What dbt prints: its events as objects, whatever else as text."""
    stdout = invocation.process.stdout
    if stdout is None or stdout.closed:
        return
    with stdout:
        for line in stdout:
            text = line.decode(errors="replace").strip()
            try:
                event = json.loads(text)
                if event["info"]["level"] == "error":
                    invocation._error_messages.append(event["info"]["msg"])
            except (ValueError, TypeError, KeyError):
                event = text
            yield event


def dbt_cli(project: DbtProject) -> DbtCli:
    """dbt as a process that ends with this one."""
    return DbtCli(
        project_dir=str(project.project_dir),
        profiles_dir=str(project.profiles_dir),
        dbt_executable=sys.executable,
        global_config_flags=["-m", _PROCESS],
    )


def _folders() -> Path:
    return get_settings().home / "dbt"


def new_folder(parent: Path, name: str, parsed: Path) -> Path:
    """A folder for one invocation; the oldest ones beside it go.

    In it is what the newest of them has parsed, else the file ``parsed`` if it exists: dbt parses
    only what has changed since, or everything (5 s) when that was for another database.
    """
    earlier = sorted(parent.glob("*-*"), key=_changed_at)
    for old in earlier[: max(0, len(earlier) - KEPT_FOLDERS + 1)]:
        shutil.rmtree(old, ignore_errors=True)
    folder = parent / f"{name}-{uuid.uuid4().hex[:7]}"
    folder.mkdir(parents=True)
    for candidate in (*(path / _PARSED for path in reversed(earlier)), parsed):
        with suppress(FileNotFoundError):
            shutil.copy(candidate, folder / _PARSED)
            break
    return folder


def _changed_at(path: Path) -> float:
    with suppress(FileNotFoundError):  # another process tidies up, too
        return path.stat().st_mtime
    return 0.0
