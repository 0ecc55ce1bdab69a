"""Months of hours leave for a Parquet file and come back the same, whatever happens in between."""

import os
import signal
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from meta_ads_pipeline.cli.archive import app
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.slices import Attempt, SliceCounts, SliceKey, claim, finish
from meta_ads_pipeline.retention import archive, keep, parquet
from meta_ads_pipeline.retention.parquet import ArchiveError
from meta_ads_pipeline.settings import Settings, get_settings

OLD, NEW = date(2025, 3, 1), date(2026, 11, 1)
PULLED = datetime(2025, 4, 20, 3, tzinfo=UTC)
ALL = "select * from raw.insights_hourly order by event_date, ad_id, event_hour"
SLICES = (
    "select account_id, partition_date, status, pulled_at from control.slices"
    " where asset = 'insights_hourly' order by 1, 2"
)


@pytest.fixture
def settings(tmp_path):
    return Settings(META_ADS_HOME=tmp_path)


@pytest.fixture
def hours(database):
    """Two accounts, an old and a new month, with every kind of value; what is landed."""
    with database.connect() as connection:
        connection.execute(
            "insert into control.ad_accounts (account_id, workspace_id, timezone, currency, name)"
            " select a, workspace_id, 'Europe/Berlin', 'EUR', 'an account' from control.workspaces,"
            " unnest(array['1', '2']) as a"
        )
        for month in (OLD, NEW):
            connection.execute(
                "select control.ensure_month_partitions('raw.insights_hourly', %s, %s)",
                [month, month],
            )
            connection.execute(
                "insert into raw.insights_hourly (event_date, account_id, campaign_id, adset_id,"
                " ad_id, event_hour, event_at, timezone, currency, spend, impressions, clicks,"
                " link_clicks, actions, api_version, pulled_at)"
                " select day, a, a || '1', a || '2', a || ad, hour, day + hour * interval '1 hour',"
                "  'Europe/Berlin', 'EUR', case when ad < 3 then round(hour * 1.37 + ad, 2) end,"
                "  hour * 100, case when hour > 2 then hour end, null,"
                " case when ad = 1 then jsonb_build_array(jsonb_build_object('Käufe', 1.50)) end,"
                "  'v26.0', %s"
                " from generate_series(%s::date, %s::date + 2, '1 day') as day,"
                "  unnest(array['1', '2']) as a, generate_series(1, 3) as ad,"
                "  generate_series(0, 23, 5) as hour",
                [PULLED, month, month],
            )
            for account in "12":
                key, by = SliceKey(account, "insights_hourly"), Attempt("sync", "run")
                days = {month.replace(day=day): SliceCounts() for day in (1, 2, 3)}
                claim(connection, key, list(days), by)
                finish(connection, key, days, by, pulled_at=PULLED, api_calls={})
    return rows(database)


def rows(database, query=ALL):
    with database.connect() as connection:
        return connection.execute(query).fetchall()


def test_a_month_leaves_and_comes_back_the_same(database, settings, hours):
    slices = rows(database, SLICES)
    assert archive.archive_month(database, settings, OLD) == 90
    left = rows(database)
    assert left == [row for row in hours if row["event_date"] >= NEW]
    old = [row for row in rows(database, SLICES) if row["partition_date"] < NEW]
    assert {(row["status"], row["pulled_at"]) for row in old} == {("not_kept", None)}
    (month,) = archive.archived_months(database)
    file = archive.folder(settings) / month.file
    spend = [row["spend"] for row in hours if row["event_date"] < NEW]
    read = pq.read_table(file)["spend"].to_pylist()
    assert sum(filter(None, read)) == sum(filter(None, spend)) > Decimal(900)
    assert read.count(None) == spend.count(None) == 30

    assert archive.restore_month(database, settings, OLD) == 90
    assert rows(database) == hours
    assert rows(database, SLICES) == slices
    assert archive.due_months(database, 14, date(2026, 11, 29)) == [], "a restored month stays"
    with pytest.raises(ArchiveError, match="is not archived"):
        archive.restore_month(database, settings, OLD)
    assert archive.archive_month(database, settings, OLD) == 90, "when it is named it goes again"


def test_which_months_are_due(database, hours):
    assert archive.due_months(database, 14, date(2026, 5, 31)) == []
    assert archive.due_months(database, 14, date(2026, 6, 1)) == [OLD]
    assert archive.due_months(database, 14, date(2026, 11, 29)) == [OLD]
    with pytest.raises(ValidationError, match="META_ADS_ARCHIVE_AFTER_MONTHS"):
        Settings(META_ADS_ARCHIVE_AFTER_MONTHS=13)


def test_it_is_off_until_it_is_set(database, settings, hours):
    now = datetime(2026, 11, 29, tzinfo=UTC)
    assert archive.archive_due(database, settings, now) is None
    on = settings.model_copy(update={"archive_after_months": 14})
    assert archive.archive_due(database, on, now) == 1
    assert archive.archive_due(database, on, now) == 0
    built = []
    assert [w.start for w in archive.build_marts(database, built.extend)] == [OLD]
    assert [(w.start, w.end) for w in built] == [(OLD, date(2025, 3, 31))]
    assert archive.build_marts(database, built.extend) == []


def killed_at(database, settings, monkeypatch, moment, *, restoring=False):
    """Have a process of its own move the month, killed (SIGKILL) in the middle of a function."""
    name, _, when = moment.partition(" ")
    place = archive if hasattr(archive, name) else parquet
    working = getattr(place, name)

    def ends(*arguments):
        if when == "after":
            working(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(place, name, ends)
            move = archive.restore_month if restoring else archive.archive_month
            move(Database(database.url), settings, OLD)
        finally:
            os._exit(0)  # not the test's own end
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize(
    "moment",
    [
        "_batches before",
        "write after",
        "totals_of_file after",
        "_keep_name before",
        "_drop_partition before",
        "_drop_partition after",
        "_note after",
    ],
)
def test_killed_at_any_moment_nothing_is_lost_or_doubled(
    database, settings, hours, monkeypatch, moment
):
    slices = rows(database, SLICES)
    killed_at(database, settings, monkeypatch, moment)
    assert rows(database) == hours
    assert rows(database, SLICES) == slices
    assert archive.archived_months(database) == []
    assert archive.archive_month(database, settings, OLD) == 90
    assert [path.suffix for path in archive.folder(settings).iterdir()] == [".parquet"]
    killed_at(database, settings, monkeypatch, "totals_of_table after", restoring=True)
    assert {row["event_date"] for row in rows(database)} == {
        NEW + timedelta(days=n) for n in range(3)
    }
    assert archive.restore_month(database, settings, OLD) == 90
    assert rows(database) == hours
    assert rows(database, SLICES) == slices


def test_a_file_that_does_not_hold_the_same_moves_nothing(database, settings, hours, monkeypatch):
    monkeypatch.setattr(parquet, "totals_of_file", lambda _path: {})
    with pytest.raises(ArchiveError, match="does not hold the same"):
        archive.archive_month(database, settings, OLD)
    assert rows(database) == hours
    assert list(archive.folder(settings).iterdir()) == []


def test_while_somebody_reads_the_hours_the_month_waits(database, settings, hours, monkeypatch):
    monkeypatch.setattr(archive, "_LOCK_TIMEOUT", "100ms")
    with psycopg.connect(database.url) as reader:
        reader.execute("select count(*) from raw.insights_hourly")
        with pytest.raises(ArchiveError, match="another time"):
            archive.archive_month(database, settings, OLD)
    assert rows(database) == hours


def test_a_damaged_or_missing_file_restores_nothing(database, settings, hours):
    archive.archive_month(database, settings, OLD)
    (month,) = archive.archived_months(database)
    file = archive.folder(settings) / month.file
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"x")
    with pytest.raises(ArchiveError, match="is not the file that was written"):
        archive.restore_month(database, settings, OLD)
    file.unlink()
    with pytest.raises(ArchiveError, match="is not there"):
        archive.restore_month(database, settings, OLD)
    file.write_bytes(content)
    assert archive.restore_month(database, settings, OLD) == 90


def test_hours_that_landed_since_are_not_mixed_with_the_file(database, settings, hours):
    archive.archive_month(database, settings, OLD)
    with database.connect() as connection:
        connection.execute(
            "select control.ensure_month_partitions('raw.insights_hourly', %s, %s)", [OLD, OLD]
        )
        connection.execute(
            "insert into raw.insights_hourly select (r).* from (select"
            " jsonb_populate_record(h, jsonb_build_object('event_date', %s::date, 'ad_id', 'new'))"
            " as r from raw.insights_hourly as h limit 1) as rows",
            [OLD],
        )
    with pytest.raises(ArchiveError, match="new hours beside"):
        archive.archive_month(database, settings, OLD)
    with pytest.raises(ArchiveError, match="not in"):
        archive.restore_month(database, settings, OLD)


@pytest.fixture
def command(database, tmp_path, monkeypatch):
    """``meta-ads archive`` in this process; what it says. No mart is built."""
    before = dict(os.environ)
    monkeypatch.setattr(keep, "rebuild_windows", lambda *_arguments: None)
    os.environ.update(META_ADS_HOME=str(tmp_path), META_ADS_DATABASE_URL=database.url)
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, arguments).output
    os.environ.clear()
    os.environ.update(before)
    get_settings.cache_clear()


def test_the_commands(database, hours, command):
    assert "No month is archived" in command("list")
    assert "is not set" in command("run")
    assert "2025-03: 90 rows moved" in command("run", "--months", "14")
    assert "No month of hours" in command("run", "--months", "14")
    assert "insights_hourly_2025-03.parquet" in command("list", "--json")
    assert "90 rows are back" in command("restore", "2025-03")
    assert "No month of hours" in command("run", "--months", "14")
    assert "2025-03: 90 rows moved" in command("run", "2025-03")
    assert "2026-11 has no hours that ended 14 months" in command("run", "2026-11")
    assert "90 rows are back" in command("restore", "2025-03")
    assert rows(database) == hours
