"""The server is killed or restarted under work in progress: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest

from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
from meta_ads_pipeline.control.slices import SliceKey
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.raw.pull_insights import pull_insights
from tests.raw.fake_reader import FakeReader
from tests.raw.insights_rows import DAY, days, hour_rows

WEEK = days(7)
KEY = SliceKey("1", "insights_hourly")
ACCOUNT = Account("1", "America/New_York", "USD")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server of its own, to be killed."""
    with tempfile.TemporaryDirectory(
        prefix="meta-ads-restart-", ignore_cleanup_errors=True
    ) as home:
        server = EmbeddedPostgres(Path(home) / "home")
        url = server.start()
        Database(url, server=server).migrate()
        yield server
        server.release()


@pytest.fixture
def database(server: EmbeddedPostgres) -> Iterator[Database]:
    database = Database(server.start(), server=server)
    yield database
    with database.connect() as connection:
        connection.execute(
            "truncate raw.insights_hourly, raw.ads, control.slices, control.slice_loads"
        )
    database.dispose()


def kill(server: EmbeddedPostgres) -> None:
    """SIGKILL of the postmaster; its backends end by themselves, and a moment later."""
    pid = int((server.data_dir / "postmaster.pid").read_text().split()[0])
    family = []
    with suppress(psutil.Error):
        postmaster = psutil.Process(pid)
        family = [postmaster, *postmaster.children()]
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)


def rows(database: Database, query: str) -> list[dict[str, object]]:
    with database.connect() as connection:
        return connection.execute(query.encode()).fetchall()


def test_whoever_needs_a_killed_server_starts_it_again(server, database):
    assert rows(database, "select 1 as one") == [{"one": 1}]
    kill(server)
    assert rows(database, "select 1 as one") == [{"one": 1}]


def test_the_engine_s_connections_bring_it_back_too(server, database):
    with database.engine.connect():
        pass
    kill(server)
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("select 1").scalar() == 1


def test_a_server_that_is_kept_running_is_back_without_anybody_s_asking(server, database):
    with database.kept_running():
        kill(server)
        deadline = time.monotonic() + 30
        while True:
            try:
                # As Dagster and dbt connect, which know nothing of our server.
                with psycopg.connect(database.url) as connection:
                    assert connection.execute("select 1").fetchone() == (1,)
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "it is still away"
                time.sleep(0.1)


def test_many_at_once_start_one_server(server, database):
    kill(server)
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda: answers.append(rows(database, "select 1 as one")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [[{"one": 1}]] * 8


def test_a_transaction_that_loses_its_server_is_done_again(server, database):
    tries = []

    def work(connection):
        tries.append(connection.execute("select pg_backend_pid() as pid").fetchone())
        connection.execute(
            "insert into control.slices (account_id, partition_date, asset, status)"
            " values ('1', '2026-01-01', 'ads', 'done')"
        )
        if len(tries) == 1:
            kill(server)
        return len(tries)

    assert database.run(work) == 2
    assert rows(database, "select count(*) as n from control.slices") == [{"n": 1}]


def test_an_error_of_the_statement_is_not_tried_again(database):
    tries = []

    def work(connection):
        tries.append(1)
        connection.execute("select 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        database.run(work)
    assert tries == [1]


def test_a_server_of_somebody_else_is_given_time_to_come_back(server):
    database = Database(server.start())  # as META_ADS_DATABASE_URL names one
    assert rows(database, "select 1 as one") == [{"one": 1}]
    kill(server)
    threading.Timer(1.0, server.start).start()
    started = time.monotonic()
    assert rows(database, "select 1 as one") == [{"one": 1}]
    assert time.monotonic() - started >= 0.5


def test_a_server_that_never_answered_is_told_at_once():
    started = time.monotonic()
    with (
        pytest.raises(DatabaseError, match="META_ADS_DATABASE_URL"),
        Database("postgresql://127.0.0.1:9/x").connect(),
    ):
        pass
    assert time.monotonic() - started < 5


def test_locks_that_went_with_the_server_are_taken_again(server, database):
    with slices.exclusive(database, KEY, WEEK[:3]) as lock:
        kill(server)
        lock.release(WEEK[:1])
        with slices.exclusive(database, KEY, WEEK[:1]):
            pass  # free
        with database.connect() as connection:
            held = connection.execute(
                "select s.partition_date as day from (select unnest(%s::date[]) as partition_date,"
                f" %s as account_id, %s as asset) as s where {slices.IS_HELD}",
                [WEEK[:3], KEY.account_id, KEY.asset],
            ).fetchall()
    assert [row["day"] for row in held] == WEEK[1:3]


@pytest.mark.parametrize("moment", ["while reading", "while loading"])
def test_a_pull_goes_on_after_the_server_was_killed(server, database, monkeypatch, moment):
    reader = FakeReader()
    reader.insights = {day: hour_rows(3, [day]) for day in WEEK}
    reader.days_per_part = 2
    killed = []

    def kill_once(*_):
        if not killed:
            killed.append(True)
            kill(server)

    if moment == "while reading":
        reader.before_part = lambda day: kill_once() if day == WEEK[3] else None
    else:
        finish = slices.finish

        def die_before_the_commit(*arguments, **more):
            finish(*arguments, **more)
            kill_once()

        monkeypatch.setattr(slices, "finish", die_before_the_commit)
    reports = pull_insights(
        database, reader, ACCOUNT, KEY.asset, WEEK, PullContext("sync-1", "run-1")
    )
    assert killed
    assert [(report.partition_date, report.inserted) for report in reports] == [
        (day, 72) for day in WEEK
    ]
    assert rows(database, "select count(*) as n from raw.insights_hourly") == [{"n": 7 * 72}]
    assert rows(
        database,
        "select count(*) as n, sum(rows_inserted) as inserted from control.slice_loads",
    ) == [{"n": 7, "inserted": 7 * 72}]
    assert rows(database, "select distinct status, attempts from control.slices") == [
        {"status": "done", "attempts": 1}
    ]


def test_a_commit_whose_answer_was_lost_is_counted_once(server, database, monkeypatch):
    """The first commit gets through; the server dies before it says so."""
    reader = FakeReader()
    reader.insights = {DAY: hour_rows(3, [DAY])}
    leave = psycopg.Connection.__exit__
    armed = []
    finish = slices.finish

    def arm(*arguments, **more):
        finish(*arguments, **more)
        armed.append(True)

    def lose_the_answer(self, *exception):
        leave(self, *exception)
        if armed == [True]:
            armed.append(True)
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(slices, "finish", arm)
    monkeypatch.setattr(psycopg.Connection, "__exit__", lose_the_answer)
    pull_insights(database, reader, ACCOUNT, KEY.asset, [DAY], PullContext("sync-1", "run-1"))
    monkeypatch.undo()
    assert len(armed) > 2
    assert rows(database, "select count(*) as n from raw.insights_hourly") == [{"n": 72}]
    assert rows(database, "select rows_inserted as n from control.slice_loads") == [{"n": 72}]


def test_entities_land_though_the_server_was_killed(server, database):
    reader = FakeReader()
    reader.lists["ad"] = [
        {"id": "9", "account_id": "1", "campaign_id": "7", "adset_id": "8", "name": "Ad"}
    ]
    listing = reader._list

    def kill_then_list(*asked):
        kill(server)
        return listing(*asked)

    reader._list = kill_then_list
    (report,) = pull_entities(
        database, reader, ACCOUNT, "ad", [DAY - timedelta(days=1)], PullContext("s", "r")
    )
    assert report.inserted == 1
    assert rows(database, "select id from raw.ads") == [{"id": "9"}]
