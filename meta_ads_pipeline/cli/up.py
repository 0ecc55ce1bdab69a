"""``meta-ads up``: everything a developer needs running, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated

import psutil
import typer
from rich.console import Console

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.children import start_child
from meta_ads_pipeline.cli.console import labelled, plain_console, print_errors
from meta_ads_pipeline.cli.runtime import Runtime, running
from meta_ads_pipeline.control import api_keys
from meta_ads_pipeline.control.database import has_relation
from meta_ads_pipeline.control.timezones import WorkspaceNotFoundError
from meta_ads_pipeline.settings import PROJECT_ROOT

_STOP_SECONDS = 20
_START_SECONDS = 120
_PORT_SECONDS = 3
_MEMBER, _KEY_LIFETIME = "meta-ads up", timedelta(days=7)


app = options.command_app()


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port of the Dagster UI.")] = 3000,
    host: Annotated[str, typer.Option(help="Address both listen on.")] = "127.0.0.1",
    serve_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the HTTP service; 0: without it.")
    ] = 8000,
) -> int:
    """Start Postgres, the simulator (without credentials), Dagster's UI and daemon, the service."""
    return run_up(host, port, serve_port, plain_console())


class _Stopped(Exception):  # noqa: N818 - a request, not an error
    pass


def run_up(host: str, port: int, serve_port: int, console: Console) -> int:
    """Run until Ctrl-C or SIGTERM, or until one of the parts ends by itself (exit code 1)."""
    for number, option in ((port, "--port"), (serve_port, "--serve-port")):
        if number and not _gets_free(host, number):
            print_errors(
                f"port {number} is taken: is `meta-ads up` running already? Stop it, or choose "
                f"another with {option}"
            )
            return 1

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise _Stopped

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        with ExitStack() as stack:
            # What was stopped may take a moment to be gone; nobody else would stop the server.
            runtime = stack.enter_context(
                running(may_simulate=True, even_without_api=True, patience=_STOP_SECONDS)
            )
            state = runtime.settings.home / "simulator.json"
            if runtime.simulated:
                # Other commands find the simulator here and use it instead of their own.
                state.write_text(json.dumps({"url": runtime.settings.graph_url}))
                stack.callback(state.unlink, missing_ok=True)
            for run_id in _close_abandoned_runs(runtime):
                console.print(f"run {run_id[:8]} was interrupted; it restarts by itself")
            stack.callback(_requeue_interrupted_runs, runtime)
            # Not in the home: a socket's path has at most 107 bytes.
            sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meta-ads-")))
            children: dict[str, subprocess.Popen[bytes]] = {}
            stack.callback(_stop_all, children)
            _start(runtime, host, port, serve_port, sockets / "code-server", children)
            _wait_until(lambda: _answers(f"http://{host}:{port}/server_info"), children)
            if serve_port:
                live = f"http://{host}:{serve_port}/health/live"
                _wait_until(lambda: _answers(live), children)
            key = stack.enter_context(_key_of_this_start(runtime)) if serve_port else ""
            _announce(console, runtime, host, port, serve_port, key)
            return _watch(children, console)
    except _Stopped:
        console.print("stopped")
        return 0


def _start(
    runtime: Runtime,
    host: str,
    port: int,
    serve_port: int,
    code_server: Path,
    children: dict[str, subprocess.Popen[bytes]],
) -> None:
    """Start the parts; the web server and the daemon share the code server at that socket."""
    programs = Path(sys.executable).parent
    home = runtime.settings.home
    log_format = ["--log-format", "json"] if runtime.settings.log_format == "json" else []
    location = {"socket": str(code_server), "location_name": "meta_ads_pipeline"}
    workspace = home / "workspace.yaml"
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": location}]}))

    def start(name: str, command: list[str]) -> None:
        log = (home / f"{name}.log").open("a")
        children[name] = start_child(
            command,
            cwd=PROJECT_ROOT,
            env={
                **os.environ,
                "PYTHONWARNINGS": "ignore",
                "META_ADS_DAGSTER_URL": f"http://{host}:{port}",
            },
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches them through us, in order
        )

    start(
        "code-server",
        [
            *(str(programs / "dagster"), "code-server", "start", "--socket", str(code_server)),
            *("--module-name", "meta_ads_pipeline.definitions"),
            *("--location-name", "meta_ads_pipeline", *log_format),
        ],
    )
    if serve_port:
        start(
            "serve",
            [
                *(sys.executable, "-m", "meta_ads_pipeline.cli", "serve"),
                *("--host", host, "--port", str(serve_port)),
            ],
        )
    _wait_until(code_server.exists, children)
    webserver = [str(programs / "dagster-webserver"), "-h", host, "-p", str(port)]
    start("dagster-webserver", [*webserver, "-w", str(workspace), *log_format])
    daemon = [str(programs / "dagster-daemon"), "run"]
    start("dagster-daemon", [*daemon, "-w", str(workspace), *log_format])


def _wait_until(ready: Callable[[], bool], children: dict[str, subprocess.Popen[bytes]]) -> None:
    """Until it is so, a child has ended, or it takes too long."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and all(c.poll() is None for c in children.values()):
        if ready():
            return
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own children
            return True
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def _key_of_this_start(runtime: Runtime) -> Iterator[str]:
    """A key for whoever sits at this terminal; it is revoked in the end, or by the next start.

    Empty where the default workspace has been given up.
    """
    try:
        text, key = api_keys.create_key(
            runtime.database,
            workspace="default",
            member=_MEMBER,
            name=_MEMBER,
            role="operator",
            lifetime=_KEY_LIFETIME,
        )
    except WorkspaceNotFoundError:
        yield ""
        return
    for each in api_keys.list_keys(runtime.database, "default"):
        if each.member == _MEMBER and each.revoked_at is None and each.prefix != key.prefix:
            api_keys.revoke_key(runtime.database, each.prefix)
    try:
        yield text
    finally:
        api_keys.revoke_key(runtime.database, key.prefix)


def _announce(
    console: Console, runtime: Runtime, host: str, port: int, serve_port: int, key: str
) -> None:
    if serve_port:
        # Browsers send nothing of what is behind #: the key is in no log.
        fragment = f"#key={key}" if key else ""
        console.print(
            f"Dashboard    http://{host}:{serve_port}/dashboard/sign-in{fragment}", soft_wrap=True
        )
        console.print(f"Service      http://{host}:{serve_port} (a key: `meta-ads keys create me`)")
    console.print(f"Dagster UI   http://{host}:{port}")
    console.print(f'Postgres     psql "{runtime.database.safe_url}"', soft_wrap=True)
    api = "the simulator, " if runtime.simulated else ""
    console.print(f"Graph API    {api}{runtime.settings.graph_url}")
    console.print(f"Logs         {runtime.settings.home}/*.log", soft_wrap=True)
    console.print("Ctrl-C stops all of it.")


def _watch(children: dict[str, subprocess.Popen[bytes]], console: Console) -> int:
    while True:
        for name, child in children.items():
            if child.poll() is not None:
                console.print(
                    labelled(name, f"ended by itself (code {child.returncode}); see its log", "red")
                )
                return 1
        time.sleep(0.5)


def _stop_all(children: dict[str, subprocess.Popen[bytes]]) -> None:
    """Stop the children and everything they started: code servers, runs in progress.

    Looked for again until nothing is left: whoever is being stopped may just have started another.
    Code servers and workers are killed: a worker that is asked to end marks its run as failed,
    while this one goes on with the next start. They keep nothing that is not in the database.
    """
    sessions = {child.pid for child in children.values()}
    leaders = set(sessions)
    deadline = time.monotonic() + _STOP_SECONDS
    while family := _members(sessions):
        patient = time.monotonic() < deadline
        # The daemon first: it starts runs, and code servers anew.
        for process in sorted(family, key=lambda member: (member.pid not in leaders, member.pid)):
            with suppress(psutil.NoSuchProcess):
                process.terminate() if process.pid in leaders and patient else process.kill()
        psutil.wait_procs(family, timeout=max(1.0, deadline - time.monotonic()))
    for child in children.values():
        child.wait()


def _close_abandoned_runs(runtime: Runtime) -> list[str]:
    """Close the runs that a kill or a power cut left as started; returns their ids."""
    if not _has_runs_in_progress(runtime):
        return []
    import dagster as dg

    from meta_ads_pipeline.automation.abandoned_runs import fail_abandoned_runs

    with dg.DagsterInstance.get() as instance:
        return fail_abandoned_runs(instance, runtime.database, launching=False)[0]


def _requeue_interrupted_runs(runtime: Runtime) -> None:
    """Have the next start go on with the runs that this stop has interrupted."""
    if not _has_runs_in_progress(runtime):
        return
    import dagster as dg

    from meta_ads_pipeline.automation.abandoned_runs import requeue_interrupted_runs

    with dg.DagsterInstance.get() as instance:
        requeue_interrupted_runs(instance)


def _has_runs_in_progress(runtime: Runtime) -> bool:
    """Asked without Dagster, whose import takes seconds."""
    with runtime.database.connect() as connection:
        if not has_relation(connection, "dagster.runs"):
            return False
        row = connection.execute(
            "select exists (select from dagster.runs"
            " where status in ('STARTING', 'STARTED', 'CANCELING')) as found"
        ).fetchone()
    return row is not None and bool(row["found"])


def _members(sessions: set[int]) -> list[psutil.Process]:
    """The live processes of these sessions; each child leads one of its own."""
    members = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            is_member = os.getsid(process.pid) in sessions
            if is_member and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members


def _gets_free(host: str, port: int) -> bool:
    """Whether the port is free, or is soon: the UI of an `up` that was killed takes a moment."""
    deadline = time.monotonic() + _PORT_SECONDS
    while not _port_is_free(host, port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _port_is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
