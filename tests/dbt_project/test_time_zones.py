"""Days of 23, 23.5, 24, 24.5 and 25 hours in five timezones, from the API to what analysts read.

One pull by the real client from the simulator and one dbt build serve every test of this file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.timezones import (
    TimezoneError,
    choose_timezone,
    set_workspace_timezone,
)
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_graph_simulator.config import DEFAULT_TOKEN, SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer
from tests.wall_clock import minutes_by_hour

from .warehouse import INSIGHTS, Warehouse, tables_behind

MARKETS = {
    "America/New_York": "USD",
    "Europe/Berlin": "EUR",
    "Australia/Lord_Howe": "AUD",
    "Asia/Tokyo": "JPY",
    "Asia/Kolkata": "INR",
}
LENGTHS = {
    ("America/New_York", date(2026, 3, 8)): 23,
    ("America/New_York", date(2026, 11, 1)): 25,
    ("Europe/Berlin", date(2026, 3, 29)): 23,
    ("Europe/Berlin", date(2026, 10, 25)): 25,
    ("Australia/Lord_Howe", date(2026, 4, 5)): 24.5,
    ("Australia/Lord_Howe", date(2026, 10, 4)): 23.5,
    ("Asia/Tokyo", date(2026, 3, 29)): 24,
    ("Asia/Kolkata", date(2026, 11, 1)): 24,
}
"""Hours of the dates that are pulled, each with the dates before and after it."""

DELIVERY = ("spend", "impressions", "clicks", "link_clicks")
MEASURES = (*DELIVERY, "purchases", "revenue", "leads", "conversions")
SUMS = ", ".join(f"sum({measure}) as {measure}" for measure in MEASURES)


@dataclass(frozen=True)
class Zones:
    """The built marts, the accounts by timezone, and what the simulator says is true."""

    warehouse: Warehouse
    accounts: dict[str, Account]
    truth: dict[tuple[str, date], dict[str, Any]]

    def read(self, timezone: str | None, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query in a display timezone, or in nobody's choice."""
        with self.warehouse.database.connect() as connection:
            if timezone is not None:
                choose_timezone(connection, timezone)
            return connection.execute(query.encode(), parameters).fetchall()


@pytest.fixture(scope="module")
def zones(built_warehouse: Warehouse) -> Iterator[Zones]:
    built_warehouse.empty()
    config = SimulatorConfig(
        accounts=len(MARKETS),
        ads=6,
        job_seconds=0.05,
        any_token=True,
        markets=tuple((currency, zone) for zone, currency in MARKETS.items()),
        start_time=datetime(2026, 11, 20, 12, tzinfo=UTC),
    )
    context = PullContext("sync-1", "run-1")
    with (
        SimulatorServer(config) as server,
        MetaAdsClient(access_token=DEFAULT_TOKEN, graph_url=server.url) as client,
    ):
        pulled = pull_ad_accounts(built_warehouse.database, client, ctx=context)
        accounts = {account.timezone: account for account in pulled}
        assert set(accounts) == set(MARKETS)
        truth = {}
        for zone, day in LENGTHS:
            account = accounts[zone]
            dates = [day + timedelta(days=n) for n in (-1, 0, 1)]
            for asset in INSIGHTS:
                pull_insights(built_warehouse.database, client, account, asset, dates, context)
            for kind in ("ad", "adset", "campaign"):
                pull_entities(built_warehouse.database, client, account, kind, dates, context)
            for row in server.control.truth(account.account_id, dates[0], dates[-1]):
                truth[zone, date.fromisoformat(row["date"])] = row
    tables = ("account_daily", "account_hourly", "campaign_daily", "campaign_hourly")
    built_warehouse.build(tests=False, models=tables_behind(*tables))
    built_warehouse.execute("analyze")  # whatever autovacuum has come to: else plans differ
    yield Zones(built_warehouse, accounts, truth)
    built_warehouse.empty()


@pytest.mark.parametrize(("zone", "day"), LENGTHS)
def test_every_hour_of_the_day_is_there_once_at_its_instant(
    zones: Zones, zone: str, day: date
) -> None:
    account_id = zones.accounts[zone].account_id
    clock = {
        hour: minutes
        for (on, hour), minutes in minutes_by_hour(day, zone).items()
        if on == day and minutes
    }
    assert sum(map(len, clock.values())) == LENGTHS[zone, day] * 60
    for table in ("raw.insights_hourly", "marts.metric_facts", "marts.account_hourly"):
        rows = zones.read(
            None,
            f"select distinct event_hour, event_at from {table}"
            " where account_id = %s and event_date = %s and event_hour is not null",
            account_id,
            day,
        )
        found = {row["event_hour"]: row["event_at"] for row in rows}
        assert len(found) == len(rows), "one instant for each hour"
        # The first occurrence of a repeated hour; no row of an hour that was skipped.
        assert found == {hour: minutes[0] for hour, minutes in clock.items()}, table
    flags = {
        row["event_hour"]: row["hour_flag"]
        for row in zones.read(
            None,
            "select distinct event_hour, hour_flag from raw.insights_hourly"
            " where account_id = %s and event_date = %s",
            account_id,
            day,
        )
    }
    assert flags == {
        hour: "repeated" if len(minutes) > 60 else None for hour, minutes in clock.items()
    }


def test_no_delivery_is_lost_or_doubled(zones: Zones) -> None:
    rows = zones.read(
        None, f"select account_id, event_date, {SUMS} from marts.metric_facts group by 1, 2"
    )
    found = {(row["account_id"], row["event_date"]): row for row in rows}
    assert len(found) == len(zones.truth) == 3 * len(LENGTHS)
    for (zone, day), truth in zones.truth.items():
        row = found[zones.accounts[zone].account_id, day]
        assert row["spend"] == Decimal(truth["spend"])
        assert (row["impressions"], row["clicks"]) == (truth["impressions"], truth["clicks"])
        names = ("omni_purchase", "purchase", "offsite_conversion.fb_pixel_purchase")
        counts = [truth["actions"][name] for name in names if name in truth["actions"]]
        assert (row["purchases"] or 0) == next(iter(counts), 0)
    assert zones.read(None, "select distinct status from marts.reconciliation") == [
        {"status": "reconciled"}
    ]


def test_natural_keys_are_unique_over_all_dates(zones: Zones) -> None:
    assert (
        zones.read(
            None,
            "select natural_key from marts.metric_facts group by 1 having count(*) > 1",
        )
        == []
    )


# --- display timezones ---------------------------------------------------------------------------

EXTREME = (
    *("UTC", "Pacific/Kiritimati", "Pacific/Niue", "Etc/GMT+12", "Asia/Kathmandu"),
    *("America/St_Johns", "Pacific/Chatham", *MARKETS),
)


def test_any_timezone_s_days_sum_to_the_accounts_days(zones: Zones) -> None:
    """Per measure, account and currency; nothing is null that was known, nothing twice."""
    total = f"select account_id, currency, {SUMS} from marts.{{}} group by 1, 2 order by 1, 2"
    tables = ("account_daily", "campaign_daily", "account_hourly", "campaign_hourly")
    expected = {table: zones.read(None, total.format(table)) for table in tables}
    assert len(expected["account_daily"]) == len(MARKETS)
    assert all(row["spend"] > 0 for row in expected["account_daily"])
    assert any(row["purchases"] for row in expected["account_daily"])
    names = zones.read(None, "select name from pg_timezone_names order by name")
    every_timezone = [row["name"] for row in names]
    assert len(every_timezone) > 400

    with zones.warehouse.database.connect() as connection:

        @settings(max_examples=40)
        @given(st.sampled_from(every_timezone) | st.sampled_from(EXTREME))
        def sums_stay(timezone: str) -> None:
            choose_timezone(connection, timezone)
            for table, sums in expected.items():
                rows = connection.execute(total.format(f"{table}_display").encode())
                assert rows.fetchall() == sums, table

        sums_stay()


@pytest.mark.parametrize("timezone", EXTREME)
def test_delivery_is_on_the_day_of_the_wall_clock_there(zones: Zones, timezone: str) -> None:
    """The views against Python's own timezone data, hour by hour and day by day."""
    zone = ZoneInfo(timezone)
    days: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    hours: dict[tuple[str, date, int], Decimal] = defaultdict(Decimal)
    for row in zones.read(None, "select account_id, event_at, spend from marts.account_hourly"):
        local = row["event_at"].astimezone(zone)
        days[row["account_id"], local.date()] += row["spend"]
        hours[row["account_id"], local.date(), local.hour] += row["spend"]
    by_day = zones.read(
        timezone,
        "select account_id, display_date, spend, display_timezone"
        " from marts.account_daily_display where spend is not null",
    )
    assert {(row["account_id"], row["display_date"]): row["spend"] for row in by_day} == days
    assert {row["display_timezone"] for row in by_day} == {timezone}
    by_hour = zones.read(
        timezone,
        "select account_id, display_date, display_hour, sum(spend) as spend"
        " from marts.account_hourly_display group by 1, 2, 3",
    )
    assert {
        (row["account_id"], row["display_date"], row["display_hour"]): row["spend"]
        for row in by_hour
    } == hours
    # Reading one day gives what the whole has for it.
    day = max(days, key=lambda key: days[key])[1]
    assert {
        row["account_id"]: row["spend"]
        for row in zones.read(
            timezone,
            "select account_id, spend from marts.account_daily_display"
            " where display_date = %s and spend is not null",
            day,
        )
    } == {account_id: spend for (account_id, on), spend in days.items() if on == day}


def test_conversions_stay_on_the_account_s_date_and_say_so(zones: Zones) -> None:
    tokyo = zones.accounts["Asia/Tokyo"].account_id
    own = zones.read(
        None,
        "select event_date, purchases, revenue, leads, conversions from marts.account_daily"
        " where account_id = %s and conversions is not null order by 1",
        tokyo,
    )
    assert own
    shown = zones.read(
        "America/New_York",
        "select display_date as event_date, purchases, revenue, leads, conversions"
        " from marts.account_daily_display"
        " where account_id = %s and conversions is not null order by 1",
        tokyo,
    )
    assert shown == own
    said = (
        "select distinct conversions_timezone, conversions_match_display_date,"
        " cpa is null as no_cpa from marts.account_daily_display"
        " where account_id = %s and conversions > 0"
    )
    for timezone, match in (("America/New_York", False), ("Asia/Tokyo", True), ("Japan", True)):
        assert zones.read(timezone, said, tokyo) == [
            {
                "conversions_timezone": "Asia/Tokyo",
                "conversions_match_display_date": match,
                "no_cpa": not match,
            }
        ]


def test_half_an_hour_is_assigned_by_its_start(zones: Zones) -> None:
    """Kolkata's hour from 09:00 begins at 03:30 UTC: it is all in UTC's hour 3."""
    rows = zones.read(
        "UTC",
        "select distinct display_hour, event_at from marts.account_hourly_display"
        " where account_id = %s and event_date = %s and event_hour = 9",
        zones.accounts["Asia/Kolkata"].account_id,
        date(2026, 11, 1),
    )
    assert rows == [{"display_hour": 3, "event_at": datetime(2026, 11, 1, 3, 30, tzinfo=UTC)}]


def test_query_before_user_before_workspace_before_account(zones: Zones) -> None:
    database = zones.warehouse.database
    shown = "select distinct display_timezone as tz from marts.account_daily_display order by 1"
    role = "time_zone_analyst"

    def read(*, user: bool = False, query: str | None = None) -> list[str]:
        with psycopg.connect(database.url, **({"user": role} if user else {})) as connection:
            if query is not None:
                connection.execute(f"set meta_ads.display_timezone = '{query}'".encode())
            return [row[0] for row in connection.execute(shown).fetchall()]

    own = sorted(MARKETS)
    zones.warehouse.execute(
        f"create role {role} login",
        f"grant usage on schema marts to {role}",
        f"grant select on all tables in schema marts to {role}",
    )
    try:
        assert read() == read(user=True) == own
        set_workspace_timezone(database, "default", "Asia/Tokyo")
        assert read() == read(user=True) == ["Asia/Tokyo"]
        zones.warehouse.execute(
            f"alter role {role} set meta_ads.display_timezone = 'Europe/Berlin'"
        )
        assert read(user=True) == ["Europe/Berlin"]
        assert read() == ["Asia/Tokyo"]
        assert read(user=True, query="UTC") == ["UTC"]
        assert read(user=True, query="account") == read(query="account") == own
        set_workspace_timezone(database, "default", None)
        assert read() == own
    finally:
        set_workspace_timezone(database, "default", None)
        zones.warehouse.execute(f"drop owned by {role}", f"drop role {role}")


@pytest.mark.parametrize("name", ["Mars/Olympus", "europe/berlin", "UTC+2", "PST", "Foo/Bar5"])
def test_an_invalid_timezone_is_a_clear_error(zones: Zones, name: str) -> None:
    """Postgres alone would take UTC+2 as two hours west of Greenwich."""
    with zones.warehouse.database.connect() as connection:
        connection.execute("select set_config('meta_ads.display_timezone', %s, true)", [name])
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="is not an IANA timezone"):
            connection.execute("select * from marts.account_hourly_display")
        connection.rollback()
    with pytest.raises(TimezoneError, match="Europe/Berlin"):
        zones.read(name, "select 1")
    with pytest.raises(TimezoneError):
        set_workspace_timezone(zones.warehouse.database, "default", name)


@pytest.mark.parametrize(
    "table", ["account_hourly", "campaign_hourly", "account_daily", "campaign_daily"]
)
def test_a_display_date_reads_only_dates_around_it(zones: Zones, table: str) -> None:
    """Postgres reaches the hours by their date, and the facts by their month."""
    with zones.warehouse.database.connect() as connection:
        # As many rows as make an index worth its while, for this transaction.
        hourly = f"marts.{table.split('_', maxsplit=1)[0]}_hourly"
        connection.execute(
            f"insert into {hourly} select (jsonb_populate_record(old, jsonb_build_object("
            "'account_id', old.account_id || number))).*"
            f" from {hourly} as old cross join generate_series(1, 50) as number".encode()
        )
        connection.execute(f"analyze {hourly}".encode())
        plan = "\n".join(
            row["QUERY PLAN"]
            for row in connection.execute(
                f"explain select * from marts.{table}_display"
                " where display_date = '2026-03-29'".encode()
            )
        )
        connection.rollback()
    assert "event_date = " in plan
    assert "metric_facts_202603" in plan or "hourly" in table
    assert "metric_facts_202611" not in plan
