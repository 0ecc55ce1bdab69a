"""The checks of the marts: what differs fails and is pulled again, and is named with its days."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from meta_ads_pipeline.control.check_results import DayResult, record_results
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.quality.catalogue import rule_of
from meta_ads_pipeline.quality.mismatches import FIRST_RETRY, LONGEST_RETRY
from meta_ads_pipeline.quality.outcome import CheckOutcome
from meta_ads_pipeline.quality.runner import evaluate, run_check
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.windows import DateWindow
from tests.quality.conftest import Look
from tests.quality.landing import DAYS, NEW_YORK, ROLLUPS, Landing

BAD_DAY = "account_id = '1' and event_date = '2026-03-03'"
BAD = f"{BAD_DAY} and measure = 'spend'"
FACTS = "marts/metric_facts"


def check_reconciliation(world: Landing, scope: CheckScope) -> CheckOutcome:
    asset = "marts/reconciliation"
    return run_check(world.database, rule_of(asset, "reconciliation"), asset, scope)


def slices(landing: Landing, where: str = "true") -> list[dict[str, Any]]:
    return landing.fetch(
        "select *, next_attempt_at - now() as delay from control.slices"
        f" where {where} order by account_id, partition_date, asset"
    )


def landing_state(landing: Landing) -> list[dict[str, Any]]:
    return landing.fetch("select * from control.slices order by account_id, partition_date, asset")


def test_agreeing_account_days_pass_and_change_nothing(world: Landing, scope: CheckScope):
    before = landing_state(world)
    found = check_reconciliation(world, scope)
    assert found.passed
    assert found.description == "6 of 6 account-days are as they should be"
    assert landing_state(world) == before


def test_a_mismatch_fails_and_only_its_pulls_are_made_again(world: Landing, scope: CheckScope):
    world.execute(
        "update marts.reconciliation set status = 'mismatch', hourly_total = 8, delta = -2,"
        f" reason = 'hours are -2 off the account total' where {BAD}"
    )
    found = check_reconciliation(world, scope)
    assert found.failed_here == [("1", DAYS[1])]
    assert found.description == (
        "5 of 6 account-days are as they should be; act_1 on 2026-03-03: "
        "spend: hours are -2 off the account total"
    )
    row = found.findings[0].row
    assert row["off by"] == "-2.00 (-20.0 %)"
    assert (row["hours"], row["account total"]) == ("8", "10.00")
    marked = slices(world, "status = 'mismatched'")
    assert [(s["account_id"], s["partition_date"], s["asset"]) for s in marked] == [
        ("1", DAYS[1], asset) for asset in sorted(INSIGHTS_TABLES)
    ]
    assert marked[0]["error_message"] == "spend: hours are -2 off the account total"
    assert FIRST_RETRY - timedelta(minutes=1) < marked[0]["delay"] <= FIRST_RETRY


def test_a_second_evaluation_changes_nothing(world: Landing, scope: CheckScope):
    world.execute(f"update marts.reconciliation set status = 'mismatch' where {BAD}")
    check_reconciliation(world, scope)
    before = landing_state(world)
    assert not check_reconciliation(world, scope).passed
    assert landing_state(world) == before


def test_once_they_agree_the_slices_are_done_again(world: Landing, scope: CheckScope):
    world.execute(f"update marts.reconciliation set status = 'mismatch' where {BAD}")
    check_reconciliation(world, scope)
    world.execute(f"update marts.reconciliation set status = 'within_tolerance' where {BAD}")
    world.execute(f"update marts.reconciliation set is_settled = false where {BAD}")
    assert check_reconciliation(world, scope).passed
    assert {s["status"] for s in slices(world)} == {"done"}
    again = slices(world, "account_id = '1' and asset = 'insights_daily'")
    assert {(s["next_attempt_at"], s["error_kind"]) for s in again} == {(None, None)}


@pytest.mark.parametrize(
    ("attempts", "delay"),
    [(0, FIRST_RETRY), (2, 2 * FIRST_RETRY), (4, 8 * FIRST_RETRY), (50, LONGEST_RETRY)],
)
def test_a_mismatch_that_persists_waits_longer(
    world: Landing, scope: CheckScope, attempts: int, delay: timedelta
):
    world.execute(f"update marts.reconciliation set status = 'mismatch' where {BAD}")
    world.execute("update control.slices set attempts = %s", [attempts])
    check_reconciliation(world, scope)
    marked = slices(world, "status = 'mismatched'")
    assert delay - timedelta(minutes=1) < marked[0]["delay"] <= delay


def test_slices_that_are_running_or_failed_are_left_alone(world: Landing, scope: CheckScope):
    world.execute(f"update marts.reconciliation set status = 'mismatch' where {BAD}")
    world.execute("update control.slices set status = 'running' where asset = 'insights_hourly'")
    world.execute("update control.slices set status = 'failed' where asset = 'account_totals'")
    check_reconciliation(world, scope)
    marked = slices(world, "status = 'mismatched'")
    assert [s["asset"] for s in marked] == ["insights_daily"]


def test_an_incomplete_account_day_fails_but_has_nothing_to_compare(
    world: Landing, scope: CheckScope
):
    world.execute(f"update marts.reconciliation set status = 'incomplete' where {BAD}")
    found = check_reconciliation(world, scope)
    assert found.failed_here == [("1", DAYS[1])]
    assert {s["status"] for s in slices(world)} == {"done"}


@pytest.mark.parametrize(
    "change",
    [
        "set hourly_total = 9.99",
        "set ad_daily_total = 10.01",
        "set account_total = null",
        "set status = 'within_tolerance', tolerance = 5",  # a settled date has no tolerance
        "set status = 'within_tolerance', is_settled = false, hourly_total = 4, tolerance = 5",
    ],
)
def test_a_row_that_claims_to_agree_and_does_not(world: Landing, scope: CheckScope, change: str):
    world.execute(f"update marts.reconciliation {change} where {BAD}")
    (finding,) = check_reconciliation(world, scope).findings
    assert finding.rule == "what is called agreeing differs by no more than it may"
    assert len(slices(world, "status = 'mismatched'")) == 3


def test_an_open_day_may_differ_within_its_tolerance(world: Landing, scope: CheckScope):
    world.execute(
        "update marts.reconciliation set status = 'within_tolerance', is_settled = false,"
        f" hourly_total = 9, tolerance = 1 where {BAD}"
    )
    assert check_reconciliation(world, scope).passed


def test_a_pulled_account_day_that_was_never_compared(world: Landing, scope: CheckScope):
    world.execute("delete from marts.reconciliation where account_id = '2'")
    world.execute(f"delete from marts.reconciliation where {BAD}")  # one measure of a day
    found = check_reconciliation(world, scope)
    assert found.failed_here == [("1", DAYS[1]), *(("2", day) for day in DAYS)]
    assert "the marts were not built after it" in found.description


def test_an_unknown_status_fails(world: Landing, scope: CheckScope):
    world.execute(f"update marts.reconciliation set status = 'fine' where {BAD}")
    assert check_reconciliation(world, scope).failed_here == [("1", DAYS[1])]


def test_equal_totals_pass(look: Look, world: Landing):
    assert look(FACTS, "levels").passed


@pytest.mark.parametrize("rollup", ROLLUPS)
def test_a_rollup_that_differs_is_named(world: Landing, look: Look, rollup: str):
    world.execute(f"update marts.{rollup} set clicks = clicks + 1 where {BAD_DAY}")
    (finding,) = look(FACTS, "levels").findings
    assert finding.account_day == ("1", DAYS[1])
    assert finding.expected == "clicks 48, as in the facts"
    assert (finding.observed or "").endswith(" 49")


def test_conversions_are_compared_by_day_only(world: Landing, look: Look):
    world.execute(f"update marts.campaign_daily set revenue = 1 where {BAD_DAY}")
    (finding,) = look(FACTS, "levels").findings
    assert finding.message == "revenue differs in campaigns"


def test_a_rollup_without_the_account_day_differs(world: Landing, look: Look):
    world.execute(f"delete from marts.adset_daily where {BAD_DAY}")
    found = look(FACTS, "levels")
    assert {finding.observed for finding in found.findings} == {"ad sets none"}
    assert len(found.findings) == 4


def test_facts_that_are_not_what_was_pulled(world: Landing, look: Look):
    world.execute(f"update raw.insights_hourly set spend = spend + 0.01 where {BAD_DAY}")
    (finding,) = look(FACTS, "levels").findings
    assert finding.message == "spend differs in pulled"


@pytest.mark.parametrize(
    "excuse",
    [
        f"update marts.reconciliation set status = 'mismatch' where {BAD}",
        "update control.slices set finished_at = '2026-03-21Z', run_id = 'another'"
        " where asset = 'insights_hourly'",
    ],
)
def test_what_is_held_back_or_pulled_since_is_not_compared_with_the_pull(
    world: Landing, scope: CheckScope, excuse: str
):
    world.execute(f"update raw.insights_hourly set spend = 0 where {BAD_DAY}")
    world.execute(excuse)
    own = replace(scope, run_id="own")
    assert evaluate(world.database, rule_of(FACTS, "levels"), FACTS, own).passed


def test_what_the_gate_holds_is_not_compared_with_the_pull(world: Landing, look: Look):
    world.execute(f"update raw.insights_hourly set spend = 0 where {BAD_DAY}")
    held = [DayResult("1", DAYS[1], "failed", 1)]
    record_results(world.database, ("raw/insights_hourly", "schema"), "block", held, run_id="r")
    assert look(FACTS, "levels").passed


def test_facts_with_all_their_parents_pass(world: Landing, look: Look):
    world.execute("update raw.ads set is_deleted = true")  # deleted is known, not gone
    assert look(FACTS, "hierarchy").passed


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("delete from raw.ads where id = '11'", "the ad is in raw.ads"),
        ("delete from raw.adsets where id = '118'", "the ad set is in raw.adsets"),
        ("delete from raw.campaigns where id = '117'", "the campaign is in raw.campaigns"),
        ("update raw.ads set adset_id = '5' where id = '11'", "the ad is in the fact's ad set"),
        (
            "update raw.adsets set campaign_id = '5' where id = '118'",
            "the ad set is in the fact's campaign",
        ),
    ],
)
def test_a_fact_without_a_parent_is_named_with_its_days(
    world: Landing, look: Look, change: str, rule: str
):
    world.execute(change)
    found = look(FACTS, "hierarchy")
    assert {(f.rule, f.observed, f.violations) for f in found.findings} == {(rule, "ad 11", 1)}
    assert found.failed_here == [("1", day) for day in DAYS]


def test_an_ad_under_two_ad_sets_is_found(world: Landing, look: Look):
    world.execute(
        "update marts.metric_facts set adset_id = '999' where ad_id = '11' and event_date = %s",
        [DAYS[0]],
    )
    rules = {finding.rule for finding in look(FACTS, "hierarchy").findings}
    assert {"an ad is in one ad set and one campaign", "the ad set is in raw.adsets"} <= rules


def test_other_dates_and_other_providers_are_left_alone(world: Landing, scope: CheckScope):
    world.execute("delete from raw.ads")
    world.execute("update marts.metric_facts set provider = 'tiktok' where account_id = '2'")
    early = CheckScope(DateWindow(DAYS[0], DAYS[0]), (NEW_YORK,), scope.started_at)
    rule = rule_of(FACTS, "hierarchy")
    assert evaluate(world.database, rule, FACTS, early).failed_here == [("1", DAYS[0])]
    assert {a for a, _ in evaluate(world.database, rule, FACTS, scope).failed_here} == {"1"}


def test_anomalies_are_told_most_unusual_first_and_good_news_warns_of_nothing(
    world: Landing, look: Look
):
    assert look("marts/anomalies", "anomalies").passed
    for key, day, score, severity in (
        ("a", DAYS[0], 4, "warn"),
        ("b", DAYS[1], -9, "warn"),
        ("c", None, 99, "warn"),
        ("d", DAYS[1], 50, "inform"),
    ):
        world.execute(
            "insert into marts.anomalies (anomaly_key, account_id, event_date, kind, sentence,"
            " score, severity) values (%s, '1', coalesce(%s, date '2026-01-01'), 'spike', %s, %s,"
            " %s)",
            [key, day, f"spend was {key}", score, severity],
        )
    found = look("marts/anomalies", "anomalies")
    assert found.is_warning
    assert [finding.message for finding in found.findings] == ["spend was b", "spend was a"]
