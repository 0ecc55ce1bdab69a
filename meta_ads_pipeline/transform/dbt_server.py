"""A process that has dbt imported, and forks itself where dbt is to run.

dbt's import costs more than two seconds. The server starts when a run's pulls change their first
row, so that the import happens while the run waits for Meta, once for all of its dbt commands, and
not at all where nothing is to be built. It ends with the process that started it: its standard
input is the other end of a pipe.

Linux alone: elsewhere, and where the server cannot be reached, dbt is a process of its own.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import importlib
import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

ADDRESS_VARIABLE = "META_ADS_DBT_SERVER"
"""Environment: the path of the server's socket."""

_PRELOADED = ("dbt.cli.main", "dbt.task.build", "dbt.adapters.postgres")
_STREAMS = 3
EXIT_CODE = 137
"""Of a dbt whose run is gone: as if killed with it."""


def start_server() -> None:
    """Start a server for this process's dbt commands, unless there is one.

    Where there cannot be one (no room for its socket, no process to be had) that is logged, and dbt
    is a process of its own: the caller is a pull, which does not need it.
    """
    if sys.platform != "linux" or ADDRESS_VARIABLE in os.environ:
        return
    try:
        address, process = _started()
    except OSError as error:
        logger.warning("dbt is imported anew for each of its commands: %s", error)
        return
    os.environ[ADDRESS_VARIABLE] = str(address)
    atexit.register(_stop, process)


def _started() -> tuple[Path, subprocess.Popen[bytes]]:
    folder = Path(tempfile.mkdtemp(prefix="meta-ads-dbt-"))  # readable by the owner alone
    address = folder / "socket"
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(address))
            listener.listen()
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listener.fileno()), str(folder)],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                # Ctrl-C is for the commands, not for what they are forked from.
                start_new_session=True,
            )
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return address, process


def _stop(process: subprocess.Popen[bytes]) -> None:
    os.environ.pop(ADDRESS_VARIABLE, None)
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


def run_in_server(address: str, arguments: Sequence[str]) -> int | None:
    """Have the server run dbt with this process's streams, environment and directory.

    Returns the exit code, None when no server answers.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError:
            return None
        command = {"arguments": list(arguments), "environment": dict(os.environ), "in": os.getcwd()}
        streams = array.array("i", range(_STREAMS))
        connection.sendmsg([b"+"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
        connection.sendall(json.dumps(command).encode() + b"\n")
        with connection.makefile("rb") as said:
            pid = said.readline()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda number, _frame: _pass_on(pid, number))
            code = said.readline()
    return int(code) if code else EXIT_CODE


def _pass_on(pid: bytes, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, ValueError):
        os.kill(int(pid), number)


def serve(listener: socket.socket) -> None:
    """Import dbt, then fork for each command until standard input ends.

    One thread: what another held would stay locked in a child.
    """
    for module in _PRELOADED:
        importlib.import_module(module)

    signal.signal(signal.SIGCHLD, _bury)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # A run that a shell started in its background ignores it; here it is passed on alone.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            listener.close()
            _serve_one(connection)
        connection.close()


def _bury(_number: int, _frame: object) -> None:
    """Wait for children that have ended, so that their CPU time counts as the run's."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _serve_one(connection: socket.socket) -> None:
    """In the child: be dbt for who is at the other end, and end with them."""
    code = 2
    try:
        _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(_STREAMS * 4))
        streams = array.array("i")
        streams.frombytes(ancillary[0][2])
        with connection.makefile("rb") as said:
            command = json.loads(said.readline())
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        connection.sendall(b"%d\n" % os.getpid())
        threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
        code = _run(command)
    finally:
        # What dbt leaves to the interpreter's end, which os._exit skips: semaphores above all, of
        # which multiprocessing would complain on the command's own output.
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            connection.sendall(b"%d\n" % code)
        os._exit(code)


def _end_with(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.recv(1)
    # Not sys.exit: dbt's threads would go on. Postgres rolls back what they had open.
    os._exit(EXIT_CODE)


def _run(command: dict[str, Any]) -> int:
    from dbt.cli.main import cli

    os.environ.clear()
    os.environ.update(command["environment"])
    os.chdir(command["in"])
    sys.argv = ["dbt", *command["arguments"]]
    try:
        cli(prog_name="dbt")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


if __name__ == "__main__":
    try:
        serve(socket.socket(fileno=int(sys.argv[1])))
    finally:  # the children leave by os._exit
        shutil.rmtree(sys.argv[2], ignore_errors=True)
