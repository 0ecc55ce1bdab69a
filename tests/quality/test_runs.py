"""The checks inside runs: over a range, over one date, over some accounts, by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from meta_ads_pipeline.quality.scope import open_window
from meta_ads_pipeline.run_tags import ACCOUNTS_TAG
from tests.quality.landing import DAYS, NEW_YORK, PULLED, Landing

INSIGHTS = ("insights_hourly", "insights_daily", "account_totals")
ENTITIES = ("campaigns", "adsets", "ads", "creatives")
ROW_CHECKS = ("schema", "duplicates", "impossible_values", "row_counts", "currency_and_timezone")
EXPECTED_CHECKS = {
    *(f"raw/{asset}: {check}" for asset in INSIGHTS for check in ROW_CHECKS),
    *(f"raw/{asset}: schema" for asset in ("ad_accounts", *ENTITIES)),
    *(f"raw/{asset}: fields" for asset in ("ad_accounts", *ENTITIES)),
    *(f"raw/{asset}: completeness" for asset in PULLED),
    *(f"raw/{asset}: read_daily" for asset in ("campaigns", "adsets", "ads")),
    "raw/insights_daily: action_types",
    "raw/insights_daily: spend_while_stopped",
    "raw/ads: new_entities",
    "marts/reconciliation: reconciliation",
    "marts/metric_facts: hierarchy",
    "marts/metric_facts: levels",
    "marts/anomalies: anomalies",
}


@pytest.fixture
def world(world: Landing) -> Landing:
    """Its entities were read just now: runs have the present time."""
    world.execute(
        "update control.slices set pulled_at = now() where asset = any(%s)", [list(ENTITIES)]
    )
    return world


def failed(results: dict[str, dg.AssetCheckEvaluation]) -> set[str]:
    return {name for name, result in results.items() if not result.passed}


def test_a_sound_range_passes_every_check_once(world, run_checks, whole_range):
    results = run_checks(tags=whole_range)
    assert set(results) == EXPECTED_CHECKS
    assert failed(results) == set()
    hourly = results["raw/insights_hourly: schema"].metadata
    assert hourly["looked_at"].value == 2 * 3
    assert hourly["dates"].value == "2026-03-02..2026-03-04"


EARLY_HOURS = {"raw/insights_hourly: impossible_values"}


def test_one_bad_day_fails_the_range_and_its_own_date_but_no_other(
    world: Landing, run_checks, whole_range
):
    world.execute(
        "update raw.insights_hourly set pulled_at = event_at - interval '1 s'"
        " where event_date = %s",
        [DAYS[1]],
    )
    assert failed(run_checks(partition_key="2026-03-04")) == set()
    ranged = run_checks(tags=whole_range)
    assert failed(ranged) == EARLY_HOURS
    result = ranged["raw/insights_hourly: impossible_values"]
    assert result.description == (
        "4 of 6 account-days are as they should be; act_1 on 2026-03-03: "
        '24 break the rule "the hour had begun when it was pulled"'
    )
    assert result.metadata["bad_days"].value == "2026-03-03"
    assert failed(run_checks(partition_key="2026-03-03")) == EARLY_HOURS


def test_what_is_open_stays_red_whatever_else_runs(world: Landing, run_checks):
    world.execute("update raw.insights_daily set spend = 0.001 where event_date = %s", [DAYS[1]])
    schema = "raw/insights_daily: schema"
    assert failed(run_checks(partition_key="2026-03-03")) == {schema}
    other = run_checks(partition_key="2026-03-04")[schema]
    assert not other.passed
    assert other.severity is dg.AssetCheckSeverity.ERROR
    assert other.metadata["failed_in_this_run"].value == 0
    assert [row.data["date"] for row in other.metadata["still_open"].records] == ["2026-03-03"] * 2
    assert other.description.endswith("2 more are open since earlier runs")
    # Only the day itself takes it back.
    world.execute("update raw.insights_daily set spend = 125")
    assert not run_checks(partition_key="2026-03-04")[schema].passed
    assert run_checks(partition_key="2026-03-03")[schema].passed
    assert run_checks(partition_key="2026-03-04")[schema].passed


def test_every_kind_of_check_fails_for_its_own_reason(world: Landing, run_checks, whole_range):
    world.execute("update raw.account_totals set currency = 'EUR'")
    world.execute(
        "delete from control.slices where asset = 'ads' and account_id = '2'"
        " and partition_date = %s",
        [DAYS[0]],
    )
    world.execute("update marts.reconciliation set status = 'mismatch' where measure = 'spend'")
    world.execute("delete from raw.adsets where account_id = '1'")
    world.execute("update marts.ad_daily set clicks = clicks + 1 where account_id = '2'")
    world.execute(
        "insert into marts.anomalies (anomaly_key, account_id, event_date, kind, sentence, score)"
        " values ('k', '1', %s, 'spike', 'Spend was 9', 8)",
        [DAYS[0]],
    )
    results = run_checks(tags=whole_range)
    assert failed(results) == {
        "raw/account_totals: currency_and_timezone",
        "raw/ads: completeness",
        "marts/reconciliation: reconciliation",
        "raw/ads: new_entities",
        "marts/metric_facts: hierarchy",
        "marts/metric_facts: levels",
        "marts/anomalies: anomalies",
    }
    anomalies = results["marts/anomalies: anomalies"]
    assert anomalies.severity is dg.AssetCheckSeverity.WARN
    assert results["raw/ads: completeness"].severity is dg.AssetCheckSeverity.ERROR


def test_a_run_for_one_account_looks_at_that_account(world: Landing, run_checks, whole_range):
    world.execute("update control.slices set status = 'failed' where account_id = '2'")
    only = {ACCOUNTS_TAG: "1"}
    assert failed(run_checks(tags=whole_range | only)) == set()
    both = failed(run_checks(tags=whole_range))
    assert both == {f"raw/{asset}: completeness" for asset in PULLED}


def test_a_run_of_some_assets_evaluates_their_checks_only(world, run_checks, whole_range):
    selection = dg.AssetSelection.assets(["raw", "ads"])
    results = run_checks(tags=whole_range, selection=selection)
    assert set(results) == {name for name in EXPECTED_CHECKS if name.startswith("raw/ads: ")}


def test_a_check_started_by_itself_looks_at_the_open_days(landing: Landing, run_checks):
    today = datetime.now(UTC).date()
    landing.account(NEW_YORK)
    landing.hours(NEW_YORK, today - timedelta(days=10), "11", [9])
    landing.hours(NEW_YORK, today - timedelta(days=60), "11", [9])
    landing.execute("update raw.insights_hourly set spend = 0.001, pulled_at = now()")
    selection = dg.AssetSelection.checks_for_assets(["raw", "insights_hourly"])
    result = run_checks(selection=selection)["raw/insights_hourly: schema"]
    assert not result.passed
    assert result.metadata["bad_days"].value == str(today - timedelta(days=10))


def test_the_open_days_follow_the_accounts_timezones():
    now = datetime(2026, 3, 30, 20, tzinfo=UTC)  # already the 31st in Tokyo
    window = open_window([NEW_YORK], now)
    assert (window.start.isoformat(), window.end.isoformat()) == ("2026-03-02", "2026-03-30")
