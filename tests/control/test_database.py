"""Connecting, checking and migrating; each failure in one clear line."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.engine import make_url

from meta_ads_pipeline.control import database as module
from meta_ads_pipeline.control.database import (
    Database,
    DatabaseError,
    export_environment,
    open_database,
)
from meta_ads_pipeline.settings import Settings


def tables(database: Database) -> set[str]:
    with database.connect() as connection:
        rows = connection.execute(
            "select table_schema || '.' || table_name as name from information_schema.tables"
            " where table_schema in ('control', 'raw', 'marts')"
        ).fetchall()
    return {row["name"] for row in rows}


def test_migrations_make_the_tables_and_run_again_without_change(empty_database):
    assert tables(empty_database) == set()
    empty_database.migrate()
    made = tables(empty_database)
    assert {
        *("control.slices", "control.syncs", "control.dead_letters", "control.ad_accounts"),
        *("raw.insights_hourly", "raw.insights_daily", "raw.account_totals", "raw.ads"),
        "marts.metric_facts",
    } <= made
    empty_database.migrate()
    assert tables(empty_database) == made


def test_a_migration_that_fails_says_why_and_changes_nothing(empty_database):
    with empty_database.connect() as connection:
        connection.execute("create schema raw")
        connection.execute("create table raw.ad_accounts (somebody_elses int)")
    for _ in range(2):
        with pytest.raises(DatabaseError, match='relation "ad_accounts" already exists'):
            empty_database.migrate()
    assert tables(empty_database) == {"raw.ad_accounts"}


def test_processes_that_migrate_at_once_wait_for_each_other(empty_database):
    failures = []

    def migrate():
        database = Database(empty_database.url)
        try:
            database.migrate()
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)
        finally:
            database.dispose()

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert "control.slices" in tables(empty_database)


def test_a_block_commits_and_an_exception_rolls_back(database):
    with database.connect() as connection:
        connection.execute("insert into control.workspaces (name) values ('kept')")

    def insert_and_fail():
        with database.connect() as connection:
            connection.execute("insert into control.workspaces (name) values ('lost')")
            raise RuntimeError("after the insert")

    with pytest.raises(RuntimeError, match="after the insert"):
        insert_and_fail()
    with database.connect() as connection:
        names = connection.execute("select name from control.workspaces order by 1").fetchall()
    assert [row["name"] for row in names] == ["default", "kept"]


def test_times_are_utc_by_both_ways_in(database):
    with database.connect() as connection:
        row = connection.execute("select current_setting('timezone') as zone").fetchone()
    assert row == {"zone": "UTC"}
    with database.engine.connect() as connection:
        assert connection.execute(text("select now()")).scalar().tzinfo is not None


def test_an_unreachable_server_is_named_without_its_password():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    database = Database(f"postgresql://someone:hunter2secret@127.0.0.1:{port}/ads")
    with pytest.raises(DatabaseError, match=r"META_ADS_DATABASE_URL") as caught:
        database.check()
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "hunter2secret" not in str(caught.value)
    assert "hunter2secret" not in database.safe_url


def test_a_database_that_does_not_exist_is_an_error_that_says_so(empty_database):
    url = make_url(empty_database.url).set(database="nowhere")
    with pytest.raises(DatabaseError, match='"nowhere" does not exist'):
        Database(url.render_as_string(hide_password=False)).check()


def test_a_read_only_database_is_refused(empty_database):
    name = make_url(empty_database.url).database
    with empty_database.connect() as connection:
        connection.execute(f"alter database {name} set default_transaction_read_only = on")
    with pytest.raises(DatabaseError, match="cannot be written to"):
        empty_database.migrate()


def test_a_role_that_may_not_create_schemas_is_refused(empty_database):
    role = f"reader_{os.getpid()}"
    with empty_database.connect() as connection:
        connection.execute(f"create role {role} login password 'reader'")
    try:
        url = make_url(empty_database.url).set(username=role, password="reader")
        with pytest.raises(DatabaseError, match="grant create on database"):
            Database(url.render_as_string(hide_password=False)).migrate()
    finally:
        with empty_database.connect() as connection:
            connection.execute(f"drop role {role}")


def test_a_server_that_is_too_old_is_refused(empty_database, monkeypatch):
    monkeypatch.setattr(module, "MINIMUM_SERVER_VERSION", 990000)
    with pytest.raises(DatabaseError, match=r"is PostgreSQL \d+; 15 or later is needed"):
        empty_database.check()


def test_open_database_uses_the_url_and_migrates(empty_database, tmp_path: Path):
    settings = Settings(META_ADS_HOME=tmp_path, META_ADS_DATABASE_URL=SecretStr(empty_database.url))
    database = open_database(settings)
    assert database.url == empty_database.url
    assert "raw.insights_hourly" in tables(database)
    database.dispose()
    assert list(tmp_path.iterdir()) == []


def test_dagster_and_dbt_are_told_the_same_place(monkeypatch):
    for name in [name for name in os.environ if name.startswith("META_ADS_D")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    export_environment(Database("postgresql://me:p%40ss@db.example:6543/ads?sslmode=require"))
    storage = make_url(os.environ["META_ADS_DAGSTER_STORAGE_URL"])
    assert (storage.drivername, storage.password) == ("postgresql+psycopg2", "p@ss")
    assert storage.query["options"] == "-csearch_path=dagster"
    assert storage.query["sslmode"] == "require"
    names = ("HOST", "PORT", "USER", "PASSWORD", "DATABASE", "SSLMODE")
    assert [os.environ[f"META_ADS_DBT_{name}"] for name in names] == [
        *("db.example", "6543", "me", "p@ss", "ads", "require")
    ]


def test_a_socket_directory_becomes_dbt_s_host(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    export_environment(Database("postgresql://postgres@/meta_ads?host=%2Fvar%2Frun%2Fpg"))
    assert os.environ["META_ADS_DBT_HOST"] == "/var/run/pg"
    assert os.environ["META_ADS_DBT_PORT"] == "5432"


def test_month_partitions_are_made_once_and_take_rows(database):
    with database.connect() as connection:
        for _ in range(2):
            connection.execute(
                "select control.ensure_month_partitions('raw.insights_hourly',"
                " '2026-12-15', '2027-01-01')"
            )
        children = connection.execute(
            "select inhrelid::regclass::text as child from pg_inherits"
            " where inhparent = 'raw.insights_hourly'::regclass order by 1"
        ).fetchall()
        indexes = connection.execute(
            "select count(*) as n from pg_indexes"
            " where schemaname = 'partitions' and tablename = 'raw_insights_hourly_202612'"
        ).fetchone()
    assert [row["child"] for row in children] == [
        "partitions.raw_insights_hourly_202612",
        "partitions.raw_insights_hourly_202701",
    ]
    assert indexes == {"n": 2}


def _ensure(connection, first, last):
    connection.execute(
        "select control.ensure_month_partitions('marts.metric_facts', %s, %s)", [first, last]
    )


def test_ranges_that_overlap_wait_for_each_other(database):
    """In a thread another range with a later first month, begun while the first is half done."""
    failures = []

    def later_months():
        try:
            with database.connect() as connection:
                _ensure(connection, "2027-02-01", "2027-03-01")
        except psycopg.Error as error:
            failures.append(error)

    thread = threading.Thread(target=later_months)
    with database.connect() as connection:
        _ensure(connection, "2027-01-01", "2027-01-01")
        thread.start()
        _until_waiting(database)
        _ensure(connection, "2027-01-01", "2027-03-01")
    thread.join()
    assert failures == []


def _until_waiting(database):
    """Until a session waits for a lock."""
    with database.connect(autocommit=True) as connection:
        for _ in range(1000):
            row = connection.execute(
                "select count(*) as n from pg_stat_activity"
                " where datname = current_database() and wait_event_type = 'Lock'"
            ).fetchone()
            if row["n"]:
                return
            time.sleep(0.01)
    raise AssertionError("nothing waits")


def test_of_two_that_block_each_other_the_one_that_is_ended_is_done_again(database):
    with database.connect() as connection:
        connection.execute(
            "create table public.pair as select n, 0 as changed from (values (1), (2)) as t (n)"
        )
    both = threading.Barrier(2)
    tries = []

    def change(first, second):
        def work(connection):
            connection.execute("update public.pair set changed = changed + 1 where n = %s", [first])
            tries.append(first)
            if len(tries) <= 2:
                both.wait(20)
            connection.execute(
                "update public.pair set changed = changed + 1 where n = %s", [second]
            )

        database.run(work)

    threads = [threading.Thread(target=change, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.connect() as connection:
        rows = connection.execute("select changed from public.pair").fetchall()
    assert [row["changed"] for row in rows] == [2, 2]
    assert len(tries) == 3


def test_the_printed_address_is_one_that_psql_reads() -> None:
    url = "postgresql://us%2Ber:hidden@/db?host=/home/a b/postgres+c&connect_timeout=3"
    printed = Database(url).safe_url
    assert "hidden" not in printed
    assert " " not in printed
    found = conninfo_to_dict(printed)
    assert found["host"] == "/home/a b/postgres c", "a + in a URL's query is a space to SQLAlchemy"
    encoded = Database("postgresql://u@/db?host=/home/a%20b/postgres%2Bc").safe_url
    assert conninfo_to_dict(encoded)["host"] == "/home/a b/postgres+c"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@127.0.0.1:1/db?password=hunter2secret",
        "postgresql://u:hunter2secret%zz@127.0.0.1:1/db",
        "postgresql://u:hunter2secret@127.0.0.1:1/db",
    ],
)
def test_no_password_reaches_what_is_printed(url):
    database = Database(url)
    assert "hunter2secret" not in database.safe_url
    with pytest.raises(DatabaseError) as caught, database.connect():
        pass
    assert "hunter2secret" not in str(caught.value)
    assert caught.value.__cause__ is None or "hunter2secret" not in str(caught.value.__cause__)
