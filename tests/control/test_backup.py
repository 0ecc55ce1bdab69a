"""A backup comes back whole, into an empty database only, and older ones are upgraded."""

from __future__ import annotations

import logging
from pathlib import Path

import psycopg
import pytest

from meta_ads_pipeline.control import database as module
from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.control.backup import BackupError, _find, back_up, restore
from meta_ads_pipeline.control.database import DatabaseError, latest_revision, schema_revision
from meta_ads_pipeline.control.row_security import secure
from tests.conftest import copy_of_template

SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("*.sql"))
"""Dumps of the schemas of former versions, as ``pg_dump --schema-only`` writes them."""


def fill(database):
    with database.connect() as connection:
        save_accounts(connection, [Account("1", "Europe/Berlin", "EUR", "Brightwäter")])
        connection.execute(
            "select control.ensure_month_partitions('raw.insights_hourly', '2026-11-01',"
            " '2026-11-30')"
        )
        connection.execute(
            "insert into raw.insights_hourly (event_date, account_id, campaign_id, adset_id, ad_id,"
            " event_hour, event_at, timezone, currency, spend, api_version, pulled_at)"
            " select '2026-11-20', '1', 'c', 's', 'a' || n, n, now(), 'Europe/Berlin', 'EUR',"
            "   n * 0.01, 'v26.0', now() from generate_series(0, 23) as n"
        )
    secure(database)  # policies that name a role


def contents(database):
    with database.connect() as connection:
        return connection.execute(
            "select (select sum(spend) from raw.insights_hourly) as spend,"
            " (select string_agg(name, '') from control.ad_accounts) as names"
        ).fetchone()


def definitions(database):
    """Indexes, constraints, functions and views, as Postgres writes them; white space aside."""
    ours = "('control', 'raw', 'marts')"
    with database.connect() as connection:
        rows = connection.execute(
            f"""
            select indexname as name, indexdef as text from pg_indexes where schemaname in {ours}
            union all
            select conname, pg_get_constraintdef(c.oid) from pg_constraint as c
            where connamespace::regnamespace::text in {ours}
            union all
            select proname, regexp_replace(prosrc, '\\s+', ' ', 'g') from pg_proc
            where pronamespace::regnamespace::text in {ours}
            union all
            select viewname, definition from pg_views where schemaname in {ours}
            order by 1, 2
            """
        ).fetchall()
    return [tuple(row.values()) for row in rows]


def columns(database):
    with database.connect() as connection:
        rows = connection.execute(
            "select table_schema, table_name, column_name, data_type, is_nullable"
            " from information_schema.columns where table_schema in ('control', 'raw')"
            " or (table_schema, table_name) = ('marts', 'metric_facts') order by 1, 2, 3"
        ).fetchall()
    return [tuple(row.values()) for row in rows]


def test_a_backup_comes_back_into_an_empty_database(database, empty_database, tmp_path):
    fill(database)
    file = tmp_path / "backup.dump"
    assert back_up(database, file) == file.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["backup.dump"]
    assert restore(empty_database, file) == latest_revision()
    assert contents(empty_database) == contents(database)
    assert columns(empty_database) == columns(database)
    with (
        empty_database.connect() as connection,
        pytest.raises(psycopg.DatabaseError, match="reach"),
    ):
        connection.execute("select sum(1::marts.unique_count)")


def test_a_database_that_only_was_started_counts_as_empty(
    database, postgres_url, template_database, tmp_path
):
    fill(database)
    back_up(database, tmp_path / "backup")
    with copy_of_template(postgres_url, template_database) as started:
        restore(started, tmp_path / "backup")
        assert contents(started) == contents(database)
        with pytest.raises(BackupError, match=r"holds data \(1 ad_accounts\)"):
            restore(started, tmp_path / "backup")
        assert contents(started) == contents(database)


def test_a_file_that_exists_is_not_written_over(database, tmp_path):
    (tmp_path / "backup").write_text("precious")
    with pytest.raises(BackupError, match="exists"):
        back_up(database, tmp_path / "backup")
    with pytest.raises(BackupError, match="pg_dump failed"):
        back_up(database, tmp_path / "no such folder" / "backup")


@pytest.mark.parametrize("content", [b"", b"PGDMP", b"-- a script"])
def test_what_is_no_backup_is_refused_and_changes_nothing(database, tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    before = columns(database)
    with pytest.raises(BackupError):
        restore(database, tmp_path / "file")
    with pytest.raises(BackupError, match="there is no file"):
        restore(database, tmp_path / "nothing")
    assert columns(database) == before


def test_a_newer_backup_and_a_newer_database_are_refused(database, empty_database, tmp_path):
    with database.connect() as connection:
        connection.execute("update control.schema_version set version_num = '9999'")
    back_up(database, tmp_path / "backup")
    with pytest.raises(BackupError, match=r"newer version .* 9999"):
        restore(empty_database, tmp_path / "backup")
    assert schema_revision(empty_database) is None
    with pytest.raises(DatabaseError, match=rf"newer version .* 9999.*{latest_revision()}"):
        database.migrate()


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.stem)
def test_every_former_schema_is_upgraded_to_the_present_one(database, empty_database, caplog, file):
    with psycopg.connect(empty_database.url) as connection:
        connection.execute(file.read_bytes())
    with empty_database.connect() as connection:
        connection.execute(
            "insert into control.slices (account_id, partition_date, asset, status)"
            " values ('1', '2026-11-20', 'insights_hourly', 'done')"
        )
    former = schema_revision(empty_database)
    with caplog.at_level(logging.WARNING, module.__name__):
        empty_database.migrate()
    if former != latest_revision():
        assert f"from schema {former} to {latest_revision()}" in caplog.text
        assert "meta-ads backup" in caplog.text
    assert columns(empty_database) == columns(database)
    assert definitions(empty_database) == definitions(database)
    assert schema_revision(empty_database) == latest_revision()


def test_the_program_is_of_the_servers_version_or_the_next_later_one(monkeypatch, tmp_path):
    versions = {}
    for major in (14, 16, 17):
        path = tmp_path / str(major) / "pg_dump"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {major}.4'\n")
        path.chmod(0o755)
        versions[major] = path
    monkeypatch.setattr(
        "meta_ads_pipeline.control.backup._candidates", lambda _program: [*versions.values()]
    )
    assert _find("pg_dump", 15) == versions[16]
    assert _find("pg_dump", 17) == versions[17]
    with pytest.raises(BackupError, match="postgresql-client-18"):
        _find("pg_dump", 18)
