"""What every command needs running: Postgres, Dagster's home, and the simulator without a token."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from meta_ads_pipeline.cli.children import start_child
from meta_ads_pipeline.control.database import Database, export_environment, open_database
from meta_ads_pipeline.credentials.connections import (
    MissingCredentialsError,
    has_stored_token,
    holds_real_accounts,
)
from meta_ads_pipeline.errors import MetaAdsError
from meta_ads_pipeline.settings import PROJECT_ROOT, Settings, get_settings, unknown_variables

logger = logging.getLogger(__name__)

SIMULATOR_TOKEN = "SIMULATOR-TOKEN"  # noqa: S105 - opens nothing but the simulator
_SIMULATOR_START_SECONDS = 30


class SimulatorError(MetaAdsError):
    """The simulator did not start."""


@dataclass(frozen=True)
class Runtime:
    """A prepared process: environment set, database migrated, an API to talk to."""

    settings: Settings
    database: Database
    simulated: bool


@contextmanager
def running(
    *,
    needs_api: bool = True,
    may_simulate: bool = False,
    even_without_api: bool = False,
    patience: float = 0.0,
) -> Iterator[Runtime]:
    """Prepare this process (and those it starts) to run the pipeline.

    Starts the embedded Postgres and, with ``may_simulate`` and without any token, the simulator;
    both stop again with the last process that uses them. ``patience`` is how many seconds to wait
    at the end for other processes that are ending, too. Raises ``DatabaseError``,
    ``EmbeddedPostgresError`` or ``SimulatorError`` with what to do, ``MissingCredentialsError``
    where the command needs Meta and there is no token (``even_without_api``: a warning).
    """
    settings = get_settings()
    with ExitStack() as stack:
        database = open_database(settings)
        stack.callback(database.release, patience)
        stack.enter_context(database.kept_running())
        export_environment(database)
        _create_dagster_schema(database)
        os.environ["DAGSTER_HOME"] = str(_dagster_home(settings))
        # A range of dates gives an event per asset and date: written together, not one by one.
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "500")
        # A busy machine's code server answers late: no reason to give a run up.
        os.environ.setdefault("DAGSTER_GRPC_TIMEOUT_SECONDS", "300")
        for problem in unknown_variables():
            logger.warning("%s", problem)
        simulated = needs_api and settings.uses_simulator and not has_stored_token(database)
        if simulated:
            try:
                _refuse_to_simulate(settings, database, may_simulate)
            except MissingCredentialsError as error:
                if not even_without_api:
                    raise
                logger.warning("%s", error)
                simulated = False
        if simulated:
            url = stack.enter_context(simulator(settings))
            os.environ["META_GRAPH_URL"] = url
            os.environ["META_ACCESS_TOKEN"] = SIMULATOR_TOKEN
            get_settings.cache_clear()
            settings = get_settings()
        yield Runtime(settings, database, simulated)


def _refuse_to_simulate(settings: Settings, database: Database, may_simulate: bool) -> None:
    """Raises where generated accounts were not asked for, or would come among real ones."""
    if not may_simulate:
        raise MissingCredentialsError(
            "no access token: store one with `meta-ads connect`, or set META_ACCESS_TOKEN (in the "
            "environment or .env). To try without: `meta-ads demo`, or --simulator"
        )
    why = None
    if settings.database_url is not None:
        why = "META_ADS_DATABASE_URL is set, and they go into the embedded database only"
    elif holds_real_accounts(database, SecretStr(SIMULATOR_TOKEN)):
        why = "this database holds real ad accounts"
    if why is not None:
        raise MissingCredentialsError(
            f"no access token, and no generated ad accounts either: {why}. Store a token with "
            "`meta-ads connect`; `meta-ads demo` keeps to a place of its own"
        )


def _create_dagster_schema(database: Database) -> None:
    # Containers of one deployment start at once: "if not exists" alone fails for one of them.
    with database.exclusive("dagster"), database.connect() as connection:
        connection.execute("create schema if not exists dagster")


def _dagster_home(settings: Settings) -> Path:
    """Dagster's home: the project's dagster.yaml, and a place for its logs outside the checkout."""
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    link = home / "dagster.yaml"
    target = PROJECT_ROOT / "dagster.yaml"
    if not link.is_symlink() or link.readlink() != target:
        own = home / f"dagster.yaml.{uuid4().hex}"  # others may be at the same
        own.symlink_to(target)
        own.replace(link)
    return home


@contextmanager
def simulator(settings: Settings, *, port: int = 0) -> Iterator[str]:
    """A simulator's address: the one that ``meta-ads up`` keeps running, or one of our own."""
    state = settings.home / "simulator.json"
    running_url = _healthy(state)
    if running_url is not None:
        yield running_url
        return
    ready = settings.home / f"simulator-{os.getpid()}.json"
    log = settings.home / "simulator.log"
    with log.open("a") as output:
        process = start_child(
            [
                *(sys.executable, "-m", "meta_ads_pipeline.cli", "simulator"),
                *("--port", str(port), "--ready-file", str(ready), "--quiet"),
            ],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is ours to handle: the work may still need it
        )
    try:
        yield _wait_until_ready(process, ready, log)
    finally:
        ready.unlink(missing_ok=True)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_ready(process: subprocess.Popen[bytes], ready: Path, log: Path) -> str:
    deadline = time.monotonic() + _SIMULATOR_START_SECONDS
    while time.monotonic() < deadline:
        url = _healthy(ready)
        if url is not None:
            return url
        if process.poll() is not None:
            break
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-1000:].strip()
    raise SimulatorError(f"the simulator did not start; the end of {log}:\n{tail}")


def _healthy(state: Path) -> str | None:
    try:
        url = str(json.loads(state.read_text())["url"])
        with urllib.request.urlopen(f"{url}/_simulator/", timeout=2):  # noqa: S310 - loopback
            return url
    except (OSError, ValueError, KeyError, urllib.error.URLError):
        return None
