"""`meta-ads sync` as a user runs it: a process of its own, from nothing to reconciled marts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from meta_graph_simulator import SimulatorConfig, SimulatorServer
from tests.conftest import TEST_MARKETS, copy_of_template
from tests.pipeline import Pipeline

pytestmark = pytest.mark.slow

WINDOW = ("2026-10-22", "2026-10-28")  # Berlin's 25-hour day is in it
FIRST, LAST = date(2026, 10, 22), date(2026, 10, 28)


@pytest.fixture(scope="module")
def generated(
    postgres_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Pipeline, dict[str, Any]]]:
    """Three generated accounts, synced once."""
    config = SimulatorConfig(
        accounts=3,
        ads=6,
        markets=TEST_MARKETS,
        job_seconds=0.1,
        start_time=datetime(2026, 11, 20, 12, tzinfo=UTC),
    )
    with (
        SimulatorServer(config) as server,
        copy_of_template(postgres_url, template_database) as database,
    ):
        pipeline = Pipeline(database, server, tmp_path_factory.mktemp("home"))
        yield pipeline, pipeline.sync(*WINDOW)


def test_everything_lands_and_reconciles(generated: tuple[Pipeline, dict[str, Any]]) -> None:
    pipeline, report = generated
    assert report["exit_code"] == 0, report
    assert report["success"]
    assert report["failed_checks"] == []
    statuses = pipeline.rows("select status, count(*) as n from marts.reconciliation group by 1")
    assert {row["status"] for row in statuses} == {"reconciled"}
    days = pipeline.rows("select distinct account_id, event_date from marts.reconciliation")
    assert len(days) == 3 * 7


def test_dagster_knows_of_each_date_that_it_was_planned_and_materialized(
    generated: tuple[Pipeline, dict[str, Any]],
) -> None:
    pipeline, _ = generated
    found = pipeline.rows(
        "select events.asset_key, max(keys.last_run_id) as last_run_id,"
        " max(events.run_id) as run_id,"
        " count(distinct partition) filter (where dagster_event_type"
        "   = 'ASSET_MATERIALIZATION_PLANNED') as planned,"
        " count(distinct partition) filter (where dagster_event_type"
        "   = 'ASSET_MATERIALIZATION') as materialized"
        " from dagster.event_logs as events"
        " inner join dagster.asset_keys as keys on keys.asset_key = events.asset_key"
        " where partition is not null group by 1"
    )
    assert {row["asset_key"] for row in found} > {'["raw", "ads"]', '["marts", "metric_facts"]'}
    for row in found:
        assert (row["planned"], row["materialized"]) == (7, 7), row
        assert row["last_run_id"] == row["run_id"]


def test_every_planned_check_has_its_result(generated: tuple[Pipeline, dict[str, Any]]) -> None:
    """Not one for each date of the run, which no result would ever fill in."""
    pipeline, _ = generated
    found = pipeline.rows(
        "select asset_key, check_name, count(*) as n, count(partition) as partitions,"
        " min(execution_status) as status, min(evaluation_event_storage_id) as event"
        " from dagster.asset_check_executions group by 1, 2"
    )
    assert len(found) > 50
    for row in found:
        assert (row["n"], row["partitions"], row["status"]) == (1, 0, "SUCCEEDED"), row
        assert row["event"] is not None


def test_the_same_sync_again_changes_nothing(generated: tuple[Pipeline, dict[str, Any]]) -> None:
    pipeline, first = generated
    fingerprint = (
        "select count(*) as n, md5(string_agg(f::text || f.ctid::text, ',' order by natural_key))"
        " as checksum from marts.metric_facts as f"
    )
    before = pipeline.rows(fingerprint)
    report = pipeline.sync(*WINDOW)
    assert report["exit_code"] == 0, report
    assert report["rows_changed"] == 0
    assert report["rows_unchanged"] > 0
    assert report["api_calls"] < first["api_calls"], "no hours of days that agree with them"
    assert pipeline.rows(fingerprint) == before
    # dbt was not asked: its assets and checks are as they were, and Dagster has them of this run.
    runs = pipeline.rows("select run_id from dagster.runs order by id")
    (said,) = pipeline.rows(
        "select count(*) as n from dagster.event_logs where run_id = %s"
        " and event like '%%nothing has changed since these dates were built%%'",
        runs[-1]["run_id"],
    )
    assert said["n"] == 1
    for counted in (
        "asset_check_executions where execution_status = 'SUCCEEDED'",
        "event_logs where dagster_event_type = 'ASSET_MATERIALIZATION'"
        " and asset_key like '%marts%' and partition is not null",
    ):
        found = pipeline.rows(f"select run_id, count(*) as n from dagster.{counted} group by 1")
        count = {row["run_id"]: row["n"] for row in found}
        assert count[runs[-1]["run_id"]] == count[runs[0]["run_id"]] > 0, counted


def test_the_marts_hold_exactly_what_the_api_has(
    generated: tuple[Pipeline, dict[str, Any]],
) -> None:
    pipeline, _ = generated
    for account in pipeline.rows("select account_id from control.ad_accounts"):
        account_id = account["account_id"]
        truth = pipeline.server.control.truth(account_id, FIRST, LAST)
        mart = {
            row["event_date"].isoformat(): row
            for row in pipeline.rows(
                "select event_date, spend, impressions, clicks from marts.account_daily"
                " where account_id = %s",
                account_id,
            )
        }
        days = {row["date"]: row for row in truth}
        assert days.keys() == mart.keys()
        for day, numbers in days.items():
            assert mart[day]["spend"] == Decimal(numbers["spend"])
            assert mart[day]["impressions"] == int(numbers["impressions"])
            assert mart[day]["clicks"] == int(numbers["clicks"])


def test_conversions_of_a_window_synced_later_are_the_accounts_own(
    generated: tuple[Pipeline, dict[str, Any]],
) -> None:
    pipeline, _ = generated
    day = "2026-11-03"
    assert pipeline.sync(day, day)["exit_code"] == 0
    totals = pipeline.rows(
        "select measure, sum(account_total) as total from marts.reconciliation"
        " where event_date = %s and measure in ('purchases', 'revenue', 'leads') group by 1",
        day,
    )
    mart = pipeline.rows(
        "select sum(purchases) as purchases, sum(revenue) as revenue, sum(leads) as leads"
        " from marts.account_daily where event_date = %s",
        day,
    )[0]
    assert {name: value or 0 for name, value in mart.items()} == {
        row["measure"]: row["total"] or 0 for row in totals
    }
    assert mart["purchases"] > 0


def test_autumns_repeated_hour_is_one_row_that_starts_at_its_first_occurrence(
    generated: tuple[Pipeline, dict[str, Any]],
) -> None:
    pipeline, _ = generated
    rows = pipeline.rows(
        "select event_hour, event_at from marts.account_hourly"
        " where timezone = 'Europe/Berlin' and event_date = '2026-10-25' and event_hour in (2, 3)"
        " order by event_at"
    )
    assert [(row["event_hour"], row["event_at"]) for row in rows] == [
        (2, datetime(2026, 10, 25, 0, tzinfo=UTC)),
        (3, datetime(2026, 10, 25, 2, tzinfo=UTC)),
    ]


def test_a_restated_day_is_replaced_and_remembered(
    generated: tuple[Pipeline, dict[str, Any]],
) -> None:
    pipeline, _ = generated
    account = pipeline.rows("select account_id from marts.account_daily limit 1")[0]["account_id"]
    day = "2026-10-27"
    restated = date(2026, 10, 27)
    totals = (
        "select sum(spend) as spend from marts.account_daily"
        " where account_id = %s and event_date = %s"
    )
    before = pipeline.rows(totals, account, day)[0]["spend"]
    pipeline.server.control.restate(account, [restated], factor=2)
    report = pipeline.sync(day, day, "--account", account)
    assert report["exit_code"] == 0, report
    assert report["rows_updated"] > 0
    after = pipeline.rows(totals, account, day)[0]["spend"]
    truth = pipeline.server.control.truth(account, restated, restated)[0]
    assert after == Decimal(truth["spend"])
    assert after > before
    ledger = pipeline.rows(
        "select old_value::numeric as old, new_value::numeric as new from marts.restatements"
        " where account_id = %s and event_date = %s and measure = 'spend'"
        " and external_entity_id = %s",
        account,
        day,
        account,
    )
    assert [(row["old"], row["new"]) for row in ledger] == [(before, after)]


def test_one_accounts_failure_leaves_the_others_done_and_is_retried_alone(
    generated: tuple[Pipeline, dict[str, Any]],
) -> None:
    pipeline, _ = generated
    accounts = [
        row["account_id"]
        for row in pipeline.rows("select account_id from control.ad_accounts order by 1")
    ]
    failing = accounts[0]
    window = ("2026-10-30", "2026-10-31")
    pipeline.server.control.add_fault(
        "error",
        match={"account": failing, "edge": "insights"},
        code=200,
        message="(#200) Ad account owner has NOT grant ads_management or ads_read permission",
    )
    report = pipeline.sync(*window)
    assert report["exit_code"] == 1
    assert any("permission" in error.lower() for error in report["errors"]), report["errors"]
    built = pipeline.rows(
        "select distinct account_id from marts.account_daily where event_date between %s and %s",
        *window,
    )
    assert {row["account_id"] for row in built} == set(accounts[1:])

    pipeline.server.control.clear_faults()
    calls_before = pipeline.server.control.stats()["by_account"]
    again = pipeline.sync(*window)
    assert again["exit_code"] == 0, (again["errors"], again["failed_checks"])
    assert again["resumed"]
    assert 0 < again["api_calls"] < report["api_calls"], "those of this command"
    calls_after = pipeline.server.control.stats()["by_account"]
    insights = (
        "select count(*) as n from control.slice_loads where sync_id = %s and account_id = %s"
    )
    for account in accounts[1:]:
        loads = pipeline.rows(insights, again["sync_id"], account)[0]["n"]
        assert (
            loads
            == pipeline.rows(
                "select count(*) as n from control.slices where sync_id = %s and account_id = %s",
                again["sync_id"],
                account,
            )[0]["n"]
        ), "a done slice was fetched again"
    assert calls_after[failing] > calls_before.get(failing, 0)


def test_odd_objects_of_the_only_account_cost_nobody_a_number(
    generated: tuple[Pipeline, dict[str, Any]],
) -> None:
    """A deleted post, half an emoji and a null among the objects: named once, all else is there."""
    pipeline, _ = generated
    account = pipeline.rows("select account_id from marts.account_daily order by 1 desc limit 1")
    account_id, day = account[0]["account_id"], "2026-10-21"
    creatives = "select id, document->'object_story_spec' as story from raw.creatives"
    stories = pipeline.rows(f"{creatives} where account_id = %s order by 1", account_id)
    broken = [row for row in stories if row["story"] is not None]
    ad = pipeline.rows("select id from raw.ads where account_id = %s limit 1", account_id)[0]["id"]
    control = pipeline.server.control
    control.add_fault("unreadable_object", id=broken[0]["id"], fields=["object_story_spec"])
    control.add_fault("odd_text", variant="surrogate", id=ad, fields=["name"])
    control.add_fault("null_object", match={"account": account_id, "edge": "campaigns"})
    try:
        report = pipeline.sync(day, day, "--account", account_id)
    finally:
        control.clear_faults()
    assert report["exit_code"] == 0, report
    letters = pipeline.rows(
        "select asset, object_id, field from control.dead_letters where account_id = %s"
        " and first_seen_at > now() - interval '10 minutes' order by asset",
        account_id,
    )
    assert letters == [
        {"asset": "campaigns", "object_id": None, "field": "document"},
        {"asset": "creatives", "object_id": broken[0]["id"], "field": "object_story_spec"},
    ]
    assert pipeline.rows(f"{creatives} where account_id = %s order by 1", account_id) == stories
    (name,) = pipeline.rows("select name from raw.ads where id = %s", ad)
    assert name["name"].isprintable()
    (built,) = pipeline.rows(
        "select spend, is_reconciled from marts.account_daily where account_id = %s"
        " and event_date = %s",
        *(account_id, day),
    )
    (truth,) = control.truth(account_id, date.fromisoformat(day), date.fromisoformat(day))
    assert built == {"spend": Decimal(truth["spend"]), "is_reconciled": True}


def test_a_bad_credential_is_one_clear_line(generated: tuple[Pipeline, dict[str, Any]]) -> None:
    pipeline, _ = generated
    pipeline.server.control.add_fault("token", subcode=463)
    try:
        yesterday = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
        done = pipeline.meta_ads("sync", "--start", yesterday, "--end", yesterday)
    finally:
        pipeline.server.control.clear_faults()
    assert done.returncode == 1
    assert "190" in done.stdout + done.stderr
    assert "token-of-the-test" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "says"),
    [
        (("--start", "2026-13-01", "--end", "2026-01-02"), {}, 2, "expected YYYY-MM-DD"),
        (("--start", "2026-01-03", "--end", "2026-01-02"), {}, 2, "is after"),
        (("--preset", "lately"), {}, 2, "last_7d"),
        (("--preset", "yesterday", "--account", "mine"), {}, 2, "expected digits"),
        (("--preset", "yesterday", "--account", "999"), {}, 1, "cannot be read"),
        (
            ("--preset", "yesterday"),
            {"META_GRAPH_URL": "http://127.0.0.1:9"},
            1,
            "127.0.0.1:9",
        ),
        (
            ("--preset", "yesterday"),
            {"META_ADS_DATABASE_URL": "postgresql://nobody:hidden@127.0.0.1:9/x"},
            1,
            "META_ADS_DATABASE_URL",
        ),
        (
            ("--preset", "yesterday"),
            {"META_ADS_DATABASE_URL": "", "META_ADS_HOME": "/proc/nowhere"},
            1,
            "META_ADS_HOME",
        ),
        (("--preset", "yesterday"), {"META_API_VERSION": "latest"}, 2, "META_API_VERSION"),
    ],
)
def test_wrong_use_is_told_in_one_clear_line(
    generated: tuple[Pipeline, dict[str, Any]],
    arguments: tuple[str, ...],
    environment: dict[str, str],
    code: int,
    says: str,
) -> None:
    pipeline, _ = generated
    done = pipeline.meta_ads("sync", *arguments, **environment)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert says in " ".join(said.split()), said
    assert "Traceback" not in said
    assert "hidden" not in said
