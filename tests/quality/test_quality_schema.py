"""Schema checks: each rule passes on sound rows, and is named when a landed row breaks it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.raw_models import LANDED_TABLES
from meta_ads_pipeline.quality.schema_checks import check_landed_table, packed
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.quality.violations import MAX_CASES, day_ranges, table_of
from meta_ads_pipeline.windows import DateWindow
from tests.quality.landing import DAYS, FIRST_DAY, NEW_YORK, Landing


@pytest.fixture(scope="module")
def shared_world(postgres_url: str, template_database: str) -> Iterator[Landing]:
    """One landed world for the module, with a copy of each raw table to restore it from."""
    name = f"{template_database}_schema_checks"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f"create database {name} template {template_database}")
        database = Database(
            make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
        )
        with database.connect(autocommit=True) as connection:
            landing = Landing(database, connection)
            landing.everything()
            for asset in LANDED_TABLES:
                landing.execute(f"create table control.sound_{asset} as table raw.{asset}")
            yield landing
        server.execute(f"drop database {name} with (force)")


@pytest.fixture
def world(shared_world: Landing) -> Iterator[Landing]:
    """A sound world; what the test does to the raw tables is undone after it."""
    yield shared_world
    for asset in LANDED_TABLES:
        shared_world.execute(f"delete from raw.{asset}")
        shared_world.execute(f"insert into raw.{asset} select * from control.sound_{asset}")


HOURLY, DAILY, TOTALS = "insights_hourly", "insights_daily", "account_totals"
ONE_ROW = "where account_id = '1' and event_date = '2026-03-03'"
TWICE_LIKED = json.dumps([{"action_type": "like", "value": "1"}] * 2)
ONE_HOUR = f"{ONE_ROW} and event_hour = 9"

BROKEN = [
    (HOURLY, f"set spend = -0.01 {ONE_HOUR}", "spend is not negative"),
    (
        HOURLY,
        f"set spend = 0.30000000000000004 {ONE_HOUR}",
        "spend has at most two decimals: more are the trace of a binary float",
    ),
    (HOURLY, f"set impressions = -1, clicks = null {ONE_HOUR}", "impressions is not negative"),
    (HOURLY, f"set link_clicks = -1 {ONE_HOUR}", "link_clicks is not negative"),
    (HOURLY, f"set clicks = -1 {ONE_HOUR}", "clicks is not negative"),
    (HOURLY, f"set ad_id = 'act_1' {ONE_HOUR}", "ad_id is digits"),
    (HOURLY, f"set campaign_id = '' {ONE_HOUR}", "campaign_id is present"),
    (
        DAILY,
        f"set actions = '{TWICE_LIKED}' {ONE_ROW}",
        "each action type stands once in actions",
    ),
    (
        HOURLY,
        f"set event_at = event_at + interval '1 hour' {ONE_HOUR}",
        "event_at is the first instant of the date and hour in the account's timezone",
    ),
    (
        HOURLY,
        f"set event_at = event_at + interval '1 minute' {ONE_HOUR}",
        "event_at is the first instant of the date and hour in the account's timezone",
    ),
    (
        HOURLY,
        f"set pulled_at = event_at - interval '1 second' {ONE_HOUR}",
        "the hour had begun when it was pulled",
    ),
    (HOURLY, f"set actions = '{{}}' {ONE_HOUR}", "actions is a list or absent"),
    (DAILY, f"set frequency = -1 {ONE_ROW}", "frequency is not negative"),
    (DAILY, f"set reach = -1 {ONE_ROW}", "reach is not negative"),
    (DAILY, f"set action_values = '1' {ONE_ROW}", "action_values is a list or absent"),
    (DAILY, f"set adset_id = 'x' {ONE_ROW}", "adset_id is digits"),
    (
        DAILY,
        f"set pulled_at = '2026-03-03T04:59Z' {ONE_ROW}",  # 23:59 on the 2nd in New York
        "the date had begun when it was pulled",
    ),
    (TOTALS, f"set impressions = -5, clicks = null {ONE_ROW}", "impressions is not negative"),
]


@pytest.mark.parametrize(("asset", "change", "rule"), BROKEN)
def test_a_broken_insights_rule_is_named_with_its_day(
    world: Landing, scope: CheckScope, asset: str, change: str, rule: str
):
    world.execute(f"update raw.{asset} {change}")
    found = check_landed_table(world.database, LANDED_TABLES[asset], scope)
    assert dict(found.errors) == {rule: 1}
    assert not found.is_warning
    assert found.days == {DAYS[1]}
    assert found.cases[0]["account_id"] == "1"
    (counted,) = found.metadata()["broken_rules"].records
    assert counted.data["should be so"] == rule


ENTITY_BROKEN = [
    ("ad_accounts", "set currency = 'euro'", "currency is an ISO 4217 code"),
    ("ad_accounts", "set timezone = 'Europe/Atlantis'", "timezone is an IANA name"),
    ("ad_accounts", "set timezone = 'UTC'", "timezone is the one that syncs use"),
    ("campaigns", "set id = 'c1'", "id is digits"),
    ("adsets", "set campaign_id = null", "campaign_id is present"),
    ("ads", "set adset_id = 'x'", "adset_id is digits"),
    (
        "creatives",
        "set changed_at = pulled_at + interval '1 s'",
        "it was first seen, then changed, then pulled",
    ),
]


@pytest.mark.parametrize(("asset", "change", "rule"), ENTITY_BROKEN)
def test_a_broken_entity_rule_is_named(
    world: Landing, scope: CheckScope, asset: str, change: str, rule: str
):
    world.execute(f"update raw.{asset} {change} where account_id = '1'")
    found = check_landed_table(world.database, LANDED_TABLES[asset], scope)
    assert found.errors[rule] == 1
    assert not found.is_warning


@pytest.mark.parametrize(
    ("asset", "change", "rule"),
    [
        (HOURLY, f"set clicks = 11 {ONE_HOUR}", "clicks are not above impressions"),
        (
            DAILY,
            f"set clicks = 1, impressions = null {ONE_ROW}",
            "clicks are not above impressions",
        ),
        (
            "ads",
            "set effective_status = 'NEW_IN_V27' where id = '11'",
            "effective_status is a known one",
        ),
    ],
)
def test_what_meta_may_do_is_a_warning(
    world: Landing, scope: CheckScope, asset: str, change: str, rule: str
):
    world.execute(f"update raw.{asset} {change}")
    found = check_landed_table(world.database, LANDED_TABLES[asset], scope)
    assert dict(found.warnings) == {rule: 1}
    assert not found.errors
    assert not found.passed
    assert found.is_warning


def test_absent_metrics_and_more_link_clicks_than_clicks_are_sound(world, scope: CheckScope):
    world.execute(
        "update raw.insights_hourly set spend = null, impressions = null, clicks = null,"
        " link_clicks = 4, actions = null"
    )
    found = check_landed_table(world.database, LANDED_TABLES[HOURLY], scope)
    assert found.passed
    assert found.rows == 2 * 3 * 24


def test_rows_of_an_account_that_syncs_do_not_know(landing: Landing, scope: CheckScope):
    landing.account(NEW_YORK)
    landing.day(NEW_YORK, DAYS[0], "11")
    landing.execute("delete from control.ad_accounts")
    found = check_landed_table(landing.database, LANDED_TABLES[TOTALS], scope)
    assert found.errors["the account is a known one"] == 1


def test_doubled_rows_are_found_even_without_the_primary_key(landing: Landing, scope: CheckScope):
    landing.account(NEW_YORK)
    landing.day(NEW_YORK, DAYS[1], "11")
    landing.execute("alter table raw.account_totals drop constraint account_totals_pkey")
    landing.execute("insert into raw.account_totals table raw.account_totals")
    found = check_landed_table(landing.database, LANDED_TABLES[TOTALS], scope)
    assert dict(found.errors) == {"one row per event_date, account_id": 2}
    assert found.days == {DAYS[1]}


def test_rows_outside_the_scope_are_left_alone(world: Landing, scope: CheckScope):
    world.execute("update raw.insights_daily set spend = -1 where event_date = '2026-03-04'")
    world.execute("update raw.insights_daily set spend = -1 where account_id = '2'")
    narrow = CheckScope(DateWindow(DAYS[0], DAYS[1]), (NEW_YORK,), scope.started_at)
    found = check_landed_table(world.database, LANDED_TABLES[DAILY], narrow)
    assert (found.passed, found.rows) == (True, 2)


def test_chunks_change_nothing_and_examples_stay_few(world: Landing, scope: CheckScope):
    world.execute("update raw.insights_hourly set spend = -1, clicks = 11")
    table = LANDED_TABLES[HOURLY]
    whole = check_landed_table(world.database, table, scope)
    pieces = check_landed_table(world.database, table, scope, chunk_rows=1)
    assert whole.errors == pieces.errors == {"spend is not negative": 144}
    assert whole.warnings == pieces.warnings == {"clicks are not above impressions": 144}
    assert whole.broken == pieces.broken
    assert {n for days in whole.broken.values() for n in days.values()} == {24}  # an account-day
    assert whole.days == set(DAYS)
    assert len(whole.cases) == len(pieces.cases) == MAX_CASES


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


@pytest.mark.parametrize(("timezone", "day"), DST_DAYS)
def test_the_loaders_clock_and_postgres_agree_on_every_hour(
    landing: Landing, timezone: str, day: date
):
    account = Account("1", timezone, "USD")
    landing.account(account)
    landing.hours(account, day, "11", range(24))
    landing.execute("update raw.insights_hourly set pulled_at = '2026-05-01Z'")
    scope = CheckScope(DateWindow(day, day), (account,), datetime(2026, 11, 1, tzinfo=UTC))
    found = check_landed_table(landing.database, LANDED_TABLES[HOURLY], scope)
    assert found.rows == 24
    assert found.passed, found.cases


def test_the_second_occurrence_of_a_repeated_hour_is_wrong(landing: Landing):
    day = date(2025, 11, 2)
    landing.account(NEW_YORK)
    landing.hours(NEW_YORK, day, "11", [1])
    scope = CheckScope(DateWindow(day, day), (NEW_YORK,), datetime(2026, 11, 1, tzinfo=UTC))
    second = datetime(2025, 11, 2, 1, tzinfo=ZoneInfo("America/New_York"), fold=1)
    landing.execute("update raw.insights_hourly set event_at = %s", [second])
    found = check_landed_table(landing.database, LANDED_TABLES[HOURLY], scope)
    assert dict(found.errors) == {
        "event_at is the first instant of the date and hour in the account's timezone": 1
    }


@given(st.dictionaries(st.integers(0, 50), st.integers(1, 30), max_size=20), st.integers(1, 60))
def test_packing_keeps_order_and_the_limit(sizes: dict[int, int], limit: int):
    chunks = list(packed(sizes, limit))
    assert [bucket for chunk in chunks for bucket in chunk] == list(sizes)
    for chunk in chunks:
        assert len(chunk) == 1 or sum(sizes[bucket] for bucket in chunk) <= limit


@given(st.sets(st.integers(0, 40), max_size=25))
def test_day_ranges_name_exactly_the_days(offsets: set[int]):
    said = day_ranges((FIRST_DAY + timedelta(days=n) for n in offsets), limit=100)
    named = set()
    for part in said.split(", ") if offsets else []:
        first, _, last = part.partition("..")
        start, end = date.fromisoformat(first), date.fromisoformat(last or first)
        named |= set(range((start - FIRST_DAY).days, (end - FIRST_DAY).days + 1))
    assert named == offsets


def test_a_table_leaves_out_columns_that_are_empty_in_every_row():
    table = table_of([{"a": 1, "b": None, "c": ""}, {"a": 20000, "b": "", "c": "said"}])
    assert [record.data for record in table.records] == [
        {"a": "1", "c": ""},
        {"a": "20,000", "c": "said"},
    ]
    assert table_of([]).value == "none"


def test_many_ranges_are_cut_short():
    days = [FIRST_DAY + timedelta(days=2 * n) for n in range(40)]
    assert day_ranges(days, limit=2) == "2026-03-02, 2026-03-04 and 38 more"
