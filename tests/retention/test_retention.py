"""What is older than its retention goes, and nothing else does."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from meta_ads_pipeline.retention.dagster_records import delete_old_backfills, delete_old_runs
from meta_ads_pipeline.retention.files import delete_orphaned_run_folders, shorten_logs
from meta_ads_pipeline.retention.keep import keep_retentions
from meta_ads_pipeline.retention.tables import RULES, delete_old_rows
from meta_ads_pipeline.settings import Settings
from tests.conftest import copy_of_template
from tests.dagster_instance import persistent_instance, postgres_instance

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PAGE = (Path(__file__).parents[2] / "docs" / "retention.md").read_text()


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def rule(table):
    return next(each for each in RULES if each.table == table)


def count(database, table):
    with database.connect() as connection:
        return connection.execute(f"select count(*) as n from {table}").fetchone()["n"]


@pytest.fixture(scope="module")
def dagster_database(postgres_url, template_database):
    """A database for Dagster's tables: made once, they take seconds."""
    with copy_of_template(postgres_url, template_database) as database:
        yield database


@pytest.fixture(scope="module")
def instance(dagster_database, tmp_path_factory):
    """Dagster on its Postgres storage, in that database."""
    with postgres_instance(dagster_database, tmp_path_factory.mktemp("dagster")) as instance:
        yield instance


def test_every_table_has_a_stated_retention(dagster_database, instance):
    with dagster_database.connect() as connection:
        tables = connection.execute(
            "select table_schema as schema, table_name as name from information_schema.tables"
            " where table_schema in ('control', 'raw', 'dagster') and table_type = 'BASE TABLE'"
        ).fetchall()
    named = set(re.findall(r"`([\w.]+)`", PAGE))
    # Dagster's tables have a section of their own, and are named without their schema.
    there = {
        t["name"] if t["schema"] == "dagster" else f"{t['schema']}.{t['name']}" for t in tables
    }
    assert sorted(there - named) == []
    assert sorted(each.table for each in RULES if f"| `{each.table}` | " not in PAGE) == []


def test_the_page_says_what_the_settings_are():
    defaults = {
        str(field.alias): field.default
        for name, field in Settings.model_fields.items()
        if name.startswith("retention_")
    }
    for variable, default in defaults.items():
        lines = [line for line in PAGE.splitlines() if variable in line]
        assert lines, variable
        assert all(str(default or "never") in line for line in lines), variable


def test_a_load_goes_unless_it_is_the_last_of_its_slice_or_of_its_day(database):
    with database.connect() as connection:
        connection.execute(
            "insert into control.ad_accounts (account_id, workspace_id, currency, timezone)"
            " values ('1', '00000000-0000-0000-0000-000000000001', 'USD', 'America/New_York')"
        )
        for asset in ("insights_hourly", "insights_daily"):
            # 03:00 UTC is still the day before in New York.
            for pulled in ("2024-01-02 03:00", "2024-01-02 06:00", "2024-01-02 20:00"):
                connection.execute(
                    "insert into control.slice_loads (account_id, partition_date, asset,"
                    " rows_fetched, rows_inserted, rows_updated, rows_deleted, rows_unchanged,"
                    " rows_dead_lettered, pulled_at, loaded_at)"
                    " values ('1', '2024-01-01', %s, 1, 1, 0, 0, 0, 0, %s, %s)",
                    [asset, pulled + "+00", pulled + "+00"],
                )
    assert delete_old_rows(database, rule("control.slice_loads"), Settings(), NOW) == 3
    with database.connect() as connection:
        kept = connection.execute(
            "select asset, to_char(pulled_at, 'HH24') as at from control.slice_loads order by 1, 2"
        ).fetchall()
    assert [tuple(row.values()) for row in kept] == [
        ("insights_daily", "03"),
        ("insights_daily", "20"),
        ("insights_hourly", "20"),
    ]


def test_syncs_go_by_when_they_were_last_at_work(database):
    with database.connect() as connection:
        connection.cursor().executemany(
            "insert into control.syncs (scope, start_date, end_date, status, started_at,"
            " finished_at, opened_at) values (%s, '2024-01-01', '2024-01-01', %s, %s, %s, %s)",
            [
                ("old and done", "done", ago(500), ago(500), ago(500)),
                ("old gaps", "running", datetime(1970, 1, 1, tzinfo=UTC), None, ago(500)),
                ("old, asked again", "running", ago(1), None, ago(500)),
                ("new gaps", "running", datetime(1970, 1, 1, tzinfo=UTC), None, ago(1)),
                ("new and done", "done", ago(2), ago(1), ago(2)),
            ],
        )
    assert delete_old_rows(database, rule("control.syncs"), Settings(), NOW) == 2
    with database.connect() as connection:
        kept = connection.execute("select scope from control.syncs order by 1").fetchall()
    assert [row["scope"] for row in kept] == ["new and done", "new gaps", "old, asked again"]


def test_what_is_over_goes_and_what_is_open_stays(database):
    with database.connect() as connection:
        connection.execute(
            "insert into control.dead_letters (fingerprint, account_id, asset, reason, document,"
            " status, first_seen_at, resolved_at)"
            " select status || age, '1', 'ads', 'r', '{}', status, %(now)s - age,"
            "   case when status <> 'open' then %(now)s - age end"
            " from unnest(array['open', 'replayed', 'discarded']) as status,"
            "   unnest(array[interval '1 day', interval '100 days']) as age",
            {"now": NOW},
        )
        connection.execute(
            "insert into control.alerts (kind, subject, severity, message, what_to_do,"
            " first_raised_at, last_raised_at, escalated_at, resolved_at)"
            " select 'k', 's' || n, 'info', 'm', 'w', %(old)s, %(old)s, %(old)s,"
            "   case n when 1 then %(old)s::timestamptz when 2 then %(new)s end"
            " from generate_series(1, 3) as n",
            {"old": ago(100), "new": ago(1)},
        )
        connection.execute(
            "insert into control.check_results (account_id, event_date, asset, check_name, status,"
            " severity, run_id, last_checked_at)"
            " select '1', date, 'a', status, status, 'block', 'r', %(old)s"
            " from unnest(array['passed', 'failed']) as status,"
            "   unnest(array[date '2024-01-01', null]) as date",
            {"old": ago(500)},
        )
    settings = Settings()
    assert delete_old_rows(database, rule("control.dead_letters"), settings, NOW) == 2
    assert delete_old_rows(database, rule("control.alerts"), settings, NOW) == 1
    assert delete_old_rows(database, rule("control.check_results"), settings, NOW) == 1
    assert count(database, "control.dead_letters") == 4
    assert count(database, "control.alerts") == 2
    assert count(database, "control.check_results") == 3


def test_webhooks_go_once_meta_repeats_them_no_more(database):
    with database.connect() as connection:
        connection.execute(
            "insert into control.webhook_events (fingerprint, topic, value, status,"
            " first_received_at, last_received_at)"
            " select status || age, 't', '{}', status, %(now)s - age, %(now)s - age"
            " from unnest(array['pending', 'done', 'kept', 'failed']) as status,"
            "   unnest(array[interval '1 day', interval '100 days']) as age",
            {"now": NOW},
        )
        connection.execute(
            "insert into control.webhook_requests values (%s, 'accepted', 1, 1, 1, 1),"
            " (%s, 'accepted', 1, 1, 1, 1)",
            [ago(100), ago(1)],
        )
    assert delete_old_rows(database, rule("control.webhook_events"), Settings(), NOW) == 3
    assert delete_old_rows(database, rule("control.webhook_requests"), Settings(), NOW) == 1


def test_versions_of_entities_are_kept_unless_a_retention_is_set(database, monkeypatch):
    with database.connect() as connection:
        connection.execute(
            "insert into raw.entity_versions"
            " select '1', 'ad', 'a' || n, %(now)s - age, '{}', age::text"
            " from generate_series(1, 2) as n,"
            "   unnest(array[interval '400 days', '300 days', '50 days']) as age",
            {"now": NOW},
        )
    assert delete_old_rows(database, rule("raw.entity_versions"), Settings(), NOW) is None
    monkeypatch.setenv("META_ADS_RETENTION_ENTITY_VERSIONS_DAYS", "100")
    # That of 300 days ago was in force 100 days ago.
    assert delete_old_rows(database, rule("raw.entity_versions"), Settings(), NOW) == 2
    assert count(database, "raw.entity_versions") == 4


DATES = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-05")


@dg.asset(partitions_def=DATES, backfill_policy=dg.BackfillPolicy.single_run())
def facts(context):
    if context.run.tags.get("fails"):
        raise RuntimeError("on purpose")


@dg.asset_check(asset=facts)
def facts_are_right() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def run(instance, day, **tags):
    result = dg.materialize(
        [facts, facts_are_right],
        instance=instance,
        partition_key=day,
        tags=tags,
        raise_on_error=False,
    )
    return result.run_id


def age(database, *runs):
    with database.connect() as connection:
        connection.execute(
            "update dagster.runs set update_timestamp = %s where run_id = any(%s)",
            [ago(30).replace(tzinfo=None), list(runs)],
        )


def events(database, run_id):
    with database.connect() as connection:
        rows = connection.execute(
            "select dagster_event_type as type from dagster.event_logs where run_id = %s", [run_id]
        ).fetchall()
    return {row["type"] for row in rows}


def test_runs_go_and_the_state_of_partitions_and_checks_stays(dagster_database, instance):
    database = dagster_database
    replaced = run(instance, "2026-11-01")
    latest = run(instance, "2026-11-01")
    built = run(instance, "2026-11-02")
    failed_before = run(instance, "2026-11-02", fails="yes")
    failed = run(instance, "2026-11-02", fails="yes")
    recent = run(instance, "2026-11-03")
    base = Path(instance.root_directory) / "storage"
    for run_id in (replaced, latest, recent):
        (base / run_id / "compute_logs").mkdir(parents=True, exist_ok=True)
    age(database, replaced, latest, built, failed_before, failed)
    state = instance.get_status_by_partition(
        facts.key, ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"], DATES
    )

    assert delete_old_runs(instance, database, ago(14)) == 2

    left = set(instance.get_run_ids())
    assert left == {latest, built, failed, recent}
    assert not (base / replaced).exists()
    assert not (base / latest).exists()
    assert (base / recent).exists()
    assert "ASSET_MATERIALIZATION" in events(database, latest)
    assert "STEP_START" not in events(database, latest)
    assert "STEP_START" in events(database, recent)
    assert events(database, replaced) == set()
    again = instance.get_status_by_partition(
        facts.key, ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"], DATES
    )
    assert again == state
    assert again["2026-11-02"] is not None
    latest_check = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [dg.AssetCheckKey(facts.key, "facts_are_right")]
    )
    assert [record.run_id for record in latest_check.values()] == [recent]
    with database.connect() as connection:
        rows = connection.execute("select run_id from dagster.asset_check_executions").fetchall()
    assert [row["run_id"] for row in rows] == [recent]
    assert delete_old_runs(instance, database, ago(14)) == 0


def test_backfills_that_are_over_go(dagster_database, instance):
    database = dagster_database
    with database.connect() as connection:
        connection.cursor().executemany(
            "insert into dagster.bulk_actions (key, status, timestamp) values (%s, %s, %s)",
            [
                ("a", "COMPLETED_SUCCESS", ago(30)),
                ("b", "REQUESTED", ago(30)),
                ("c", "COMPLETED_FAILED", ago(1)),
            ],
        )
        connection.execute("insert into dagster.backfill_tags (backfill_id) values ('a'), ('b')")
    assert delete_old_backfills(database, ago(14)) == 1
    assert count(database, "dagster.bulk_actions") == 2
    assert count(database, "dagster.backfill_tags") == 1


def test_a_part_that_fails_costs_no_other(database, monkeypatch, tmp_path):
    with database.connect() as connection:
        connection.execute("alter table control.webhook_events rename to elsewhere")
        connection.execute("insert into control.alert_mutes values ('k', '', %s)", [ago(100)])
    monkeypatch.setenv("META_ADS_HOME", str(tmp_path))
    with persistent_instance() as elsewhere:
        kept = {each.what: each for each in keep_retentions(database, elsewhere, Settings(), NOW)}
    assert "webhook_events" in (kept["control.webhook_events"].error or "")
    assert kept["control.alert_mutes"].deleted == 1
    assert [name for name, each in kept.items() if each.error] == ["control.webhook_events"]
    assert "raw.entity_versions" not in kept


def test_folders_of_unknown_runs_go_when_they_are_old(tmp_path):
    known, old, new = (f"00000000-0000-4000-8000-00000000000{n}" for n in range(3))
    storage = tmp_path / "dagster" / "storage"
    for name in (known, old, new, "an asset"):
        (storage / name).mkdir(parents=True)
        if name != new:
            os.utime(storage / name, (0, 0))
    before = datetime.now(UTC) - timedelta(days=14)
    assert delete_orphaned_run_folders(tmp_path, {known}, before) == 1
    assert {path.name for path in storage.iterdir()} == {known, new, "an asset"}


def test_a_long_log_is_cut_at_a_line_and_goes_on(tmp_path):
    log, short = tmp_path / "daemon.log", tmp_path / "short.log"
    short.write_text("short\n")
    with log.open("a") as writer:
        writer.writelines(f"line {n:04}\n" for n in range(1000))
        writer.flush()
        assert shorten_logs(tmp_path, 2000) == 1
        writer.write("the next one\n")
    lines = log.read_text().splitlines()
    assert lines[-2:] == ["line 0999", "the next one"]
    assert re.fullmatch(r"line \d{4}", lines[0])
    assert len(lines) <= 101
    assert short.read_text() == "short\n"
