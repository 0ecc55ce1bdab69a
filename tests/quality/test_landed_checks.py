"""The checks of landed insights: each rule passes on sound rows, and is named when broken."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from meta_ads_pipeline.control.account_days import undone_dates
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.slices import SliceKey, exclusive
from meta_ads_pipeline.quality.catalogue import rule_of
from meta_ads_pipeline.quality.runner import evaluate
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.windows import DateWindow
from tests.quality.conftest import Look
from tests.quality.landing import DAYS, NEW_YORK, TOKYO, Landing

HOURLY, DAILY, TOTALS = "raw/insights_hourly", "raw/insights_daily", "raw/account_totals"
ONE_ROW = "where account_id = '1' and event_date = '2026-03-03'"
TWICE_LIKED = json.dumps([{"action_type": "like", "value": "1"}] * 2)
ONE_HOUR = f"{ONE_ROW} and event_hour = 9"
FIRST_INSTANT = "event_at is the first instant of the date and hour in the account's timezone"
NOT_EXACT = "spend has at most two decimals: more are the trace of a binary float"

BROKEN = [
    (HOURLY, "schema", f"set spend = 0.30000000000000004 {ONE_HOUR}", NOT_EXACT),
    (DAILY, "schema", f"set spend = spend + 4e-17 {ONE_ROW}", NOT_EXACT),
    (HOURLY, "schema", f"set event_at = event_at + interval '1 hour' {ONE_HOUR}", FIRST_INSTANT),
    (HOURLY, "schema", f"set event_at = event_at + interval '1 minute' {ONE_HOUR}", FIRST_INSTANT),
    (
        TOTALS,
        "schema",
        f"set currency = 'JPY', spend = 1.5 {ONE_ROW}",
        "spend is whole in a currency without decimals",
    ),
    (
        HOURLY,
        "duplicates",
        f"set actions = '{TWICE_LIKED}' {ONE_HOUR}",
        "each action type stands once in actions",
    ),
    (
        DAILY,
        "duplicates",
        f"set action_values = '{TWICE_LIKED}' {ONE_ROW}",
        "each action type stands once in action_values",
    ),
    (
        HOURLY,
        "impossible_values",
        f"set pulled_at = event_at - interval '1 second' {ONE_HOUR}",
        "the hour had begun when it was pulled",
    ),
    (
        DAILY,
        "impossible_values",
        f"set pulled_at = '2026-03-03T04:59Z' {ONE_ROW}",  # 23:59 on the 2nd in New York
        "the date had begun when it was pulled",
    ),
]


@pytest.mark.parametrize(("asset", "check", "change", "rule"), BROKEN)
def test_a_broken_rule_is_named_with_its_day(
    world: Landing, look: Look, asset: str, check: str, change: str, rule: str
):
    assert look(asset, check).passed
    world.execute(f"update {asset.replace('/', '.')} {change}")
    found = look(asset, check)
    (finding,) = found.findings
    assert (finding.rule, finding.violations, finding.is_warning) == (rule, 1, False)
    assert found.failed_here == [("1", DAYS[1])]


@pytest.mark.parametrize(
    ("asset", "check", "change"),
    [
        (HOURLY, "impossible_values", f"set clicks = 11 {ONE_HOUR}"),
        (DAILY, "impossible_values", f"set clicks = 1, impressions = null {ONE_ROW}"),
    ],
)
def test_what_meta_may_do_is_a_warning(
    world: Landing, look: Look, asset: str, check: str, change: str
):
    world.execute(f"update {asset.replace('/', '.')} {change}")
    found = look(asset, check)
    assert found.findings[0].rule == "clicks are not above impressions"
    assert found.is_warning
    assert found.failed_here == []


def test_rows_that_landing_refused_are_a_warning_until_they_are_replayed(
    world: Landing, look: Look
):
    of_the_day = (
        f"where asset = 'insights_daily' and account_id = '1' and partition_date = '{DAYS[1]}'"
    )
    world.execute(f"update control.slices set rows_dead_lettered = 2 {of_the_day}")
    found = look(DAILY, "schema")
    assert found.is_warning
    assert found.description.endswith(
        'act_1 on 2026-03-03: 2 break the rule "every row of the pull could be used"'
    )
    world.execute(f"update control.slices set rows_dead_lettered = 0 {of_the_day}")
    assert look(DAILY, "schema").passed


def test_absent_metrics_and_more_link_clicks_than_clicks_are_sound(world: Landing, look: Look):
    world.execute(
        "update raw.insights_hourly set spend = null, impressions = null, clicks = null,"
        " link_clicks = 4, actions = null"
    )
    assert all(
        look(HOURLY, check).passed for check in ("schema", "duplicates", "impossible_values")
    )


def test_rows_outside_the_scope_are_left_alone(world: Landing, scope: CheckScope):
    world.execute("update raw.insights_daily set spend = 0.001 where event_date = '2026-03-04'")
    world.execute("update raw.insights_daily set spend = 0.001 where account_id = '2'")
    narrow = CheckScope(DateWindow(DAYS[0], DAYS[1]), (NEW_YORK,), scope.started_at)
    found = evaluate(world.database, rule_of(DAILY, "schema"), DAILY, narrow)
    assert found.passed
    assert [day for _, day in found.looked_at] == DAYS[:2]


DST_DAYS = [
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2025, 11, 2)),
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2025, 10, 26)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("Australia/Lord_Howe", date(2025, 10, 5)),
    ("Africa/Cairo", date(2026, 4, 24)),  # midnight itself is skipped
    ("America/Scoresbysund", date(2026, 3, 28)),  # the last hour of the day is skipped
    ("Asia/Kolkata", date(2026, 3, 8)),
]


def hours_look(landing: Landing, account: Account, day: date) -> list[str]:
    scope = CheckScope(DateWindow(day, day), (account,), datetime(2026, 11, 1, tzinfo=UTC))
    found = evaluate(landing.database, rule_of(HOURLY, "schema"), HOURLY, scope)
    return [finding.rule for finding in found.findings]


@pytest.mark.parametrize(("timezone", "day"), DST_DAYS)
def test_the_loaders_clock_and_postgres_agree_on_every_hour(
    landing: Landing, timezone: str, day: date
):
    account = Account("1", timezone, "USD")
    landing.account(account)
    landing.hours(account, day, "11", range(24))
    assert hours_look(landing, account, day) == []


def test_the_second_occurrence_of_a_repeated_hour_is_wrong(landing: Landing):
    day = date(2025, 11, 2)
    landing.account(NEW_YORK)
    landing.hours(NEW_YORK, day, "11", [1])
    second = datetime(2025, 11, 2, 1, tzinfo=ZoneInfo("America/New_York"), fold=1)
    landing.execute("update raw.insights_hourly set event_at = %s", [second])
    assert hours_look(landing, NEW_YORK, day) == [FIRST_INSTANT]


def test_done_and_mismatched_slices_are_complete(landing: Landing, look: Look):
    landing.account(NEW_YORK)
    landing.slices(NEW_YORK, DAYS, ["ads"])
    landing.slices(TOKYO, DAYS, ["ads"], status="mismatched")
    assert look("raw/ads", "completeness").passed
    assert {f.account_day for f in look("raw/creatives", "completeness").findings} == {
        (account, day) for account in "12" for day in DAYS
    }


def test_what_another_live_run_reads_again_is_complete(
    landing: Landing, look: Look, database: Database
):
    """Two syncs over the same dates: what the first has done, the second marks as running."""
    landing.account(NEW_YORK)
    landing.account(TOKYO)
    landing.slices(NEW_YORK, DAYS, ["ads"], status="running")
    landing.slices(TOKYO, DAYS[:1], ["ads"], status="running", attempts=2)
    landing.slices(TOKYO, DAYS[1:2], ["ads"], status="running", pulled_at=None)
    landing.slices(TOKYO, DAYS[2:], ["ads"], status="running")
    both = [SliceKey(account.account_id, "ads") for account in (NEW_YORK, TOKYO)]
    with exclusive(database, both[0], DAYS), exclusive(database, both[1], DAYS):
        found = look("raw/ads", "completeness").findings
        undone = undone_dates(database, "ads", DAYS)
    assert [f.account_day for f in found] == [("2", DAYS[0]), ("2", DAYS[1])]
    assert undone == dict.fromkeys(DAYS[:2], "act_2: running")
    killed = look("raw/ads", "completeness").findings
    assert {f.account_day for f in killed} == {(account, day) for account in "12" for day in DAYS}


def test_a_missing_slice_is_named_with_its_reason_and_attempts(landing: Landing, look: Look):
    landing.slices(NEW_YORK, DAYS, ["ads"])
    failed = {"status": "failed", "error_kind": "auth", "error_message": "expired", "attempts": 4}
    landing.slices(TOKYO, DAYS[:1], ["ads"], **failed)
    landing.slices(TOKYO, DAYS[1:2], ["ads"], status="running")
    found = look("raw/ads", "completeness")
    assert [(f.account_id, f.event_date, f.sentence) for f in found.findings] == [
        ("2", DAYS[0], "not pulled: failed: auth: expired"),
        ("2", DAYS[1], "not pulled: still running, or its process was killed"),
        ("2", DAYS[2], "not pulled: never pulled"),
    ]
    assert found.findings[0].row["attempts"] == 4


def test_a_date_is_expected_where_it_has_begun(landing: Landing, scope: CheckScope):
    """At 20:00 UTC it is the 5th in Tokyo and still the 4th in New York."""
    window = DateWindow(date(2026, 3, 4), date(2026, 3, 5))
    landing.slices(NEW_YORK, window.dates[:1], ["ads"])
    landing.slices(TOKYO, window.dates[:1], ["ads"])
    evening = replace(scope, window=window, started_at=datetime(2026, 3, 4, 20, tzinfo=UTC))
    found = evaluate(landing.database, rule_of("raw/ads", "completeness"), "raw/ads", evening)
    assert found.failed_here == [("2", date(2026, 3, 5))]
    assert len(found.looked_at) == 3


def test_nothing_to_expect_is_no_success(landing: Landing, scope: CheckScope):
    nobody = replace(scope, accounts=())
    found = evaluate(landing.database, rule_of("raw/ads", "completeness"), "raw/ads", nobody)
    assert not found.passed
    assert not found.is_warning
    assert "no date of the run has begun" in found.description
