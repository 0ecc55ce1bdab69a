"""The refresh that reads days first: unchanged hours cost no call, changed ones are read again."""

from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from meta_ads_pipeline.alerting.watch import update_watched
from meta_ads_pipeline.control.alerts import list_open_alerts
from meta_ads_pipeline.control.slices import SliceKey, rows_per_day
from meta_ads_pipeline.meta_api.priority import Priority, calls_about, current_priority
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_ads_pipeline.run_tags import REFRESH_RECENT, REFRESH_TODAY
from meta_ads_pipeline.settings import Settings
from tests.raw.fake_reader import FakeReader

LOAD = PullContext("load", "run-1")


def refresh(number=1):
    return PullContext(f"refresh-{number}", f"run-{number + 1}", refresh=REFRESH_RECENT)


@pytest.fixture
def landed(database, client, simulator):
    """An account with two weeks loaded, and its dates."""
    account = pull_ad_accounts(database, client, ctx=LOAD)[0]
    today = simulator.control.now().astimezone(ZoneInfo(account.timezone)).date()
    dates = [today - timedelta(days=back) for back in range(14, 0, -1)]
    for asset in ("insights_hourly", "insights_daily", "account_totals"):
        pull_insights(database, client, account, asset, dates, LOAD)
    simulator.control.reset("stats")
    return account, dates


def pull_days_and_hours(database, client, account, dates, ctx):
    """As the assets do; the hours' reports."""
    pull_insights(database, client, account, "insights_daily", dates, ctx)
    return pull_insights(database, client, account, "insights_hourly", dates, ctx)


def assert_lands_the_truth(query, simulator, account, dates):
    for day in dates:
        (truth,) = simulator.control.truth(account.account_id, day, day)
        for asset in ("insights_hourly", "insights_daily"):
            (row,) = query(
                f"select sum(spend) as spend, sum(impressions) as impressions from raw.{asset}"
                " where account_id = %s and event_date = %s",
                account.account_id,
                day,
            )
            assert row["spend"] == Decimal(truth["spend"])
            assert row["impressions"] == int(truth["impressions"])


def test_an_unchanged_window_costs_the_days_alone_and_the_audit_says_so(
    database, client, simulator, landed, query
):
    account, dates = landed
    ctx = refresh()
    reports = pull_days_and_hours(database, client, account, dates, ctx)
    assert simulator.control.stats()["calls"] == 1
    assert {(r.fetched, r.inserted, r.updated, r.deleted, r.api_calls) for r in reports} == {
        (0, 0, 0, 0, 0)
    }
    assert all(report.unchanged > 0 and not report.skipped for report in reports)
    audit = query(
        "select rows_fetched, rows_unchanged from control.slice_loads"
        " where sync_id = 'refresh-1' and asset = 'insights_hourly'"
    )
    assert len(audit) == 14
    assert all(row["rows_fetched"] == 0 and row["rows_unchanged"] > 0 for row in audit)
    states = query("select * from control.slices where sync_id = 'refresh-1'")
    assert {row["status"] for row in states} == {"done"}
    assert sum(row["api_calls"] for row in states) == 1


def test_only_changed_days_are_read_by_the_hour(database, client, simulator, landed, query):
    account, dates = landed
    control, account_id = simulator.control, account.account_id
    # One with delivery: conversions alone have no hours that could vanish with them.
    ads = query("select ad_id from raw.insights_hourly where event_date = %s", dates[9])
    control.restate(account_id, [dates[2]], "1.5")
    control.vanish(account_id, [dates[9]], ad_id=ads[0]["ad_id"])
    reports = pull_days_and_hours(database, client, account, dates, refresh())
    read = [report.partition_date for report in reports if report.api_calls]
    assert read == [dates[2], dates[9]]
    assert control.stats()["calls"] == 1 + 2
    assert_lands_the_truth(query, simulator, account, [dates[2], dates[9], dates[12]])


def test_hours_that_agree_are_no_day_without_rows_though_some_of_it_were_removed(
    database, client, simulator, landed, query
):
    account, dates = landed
    (ad, *_) = query("select ad_id from raw.insights_hourly where event_date = %s", dates[9])
    simulator.control.vanish(account.account_id, [dates[9]], ad_id=ad["ad_id"])
    pull_days_and_hours(database, client, account, dates, refresh(1))
    assert query("select from raw.insights_changes where new_value is null")
    pull_days_and_hours(database, client, account, dates, refresh(2))  # reads none of them again
    update_watched(database, Settings(), simulator.control.now())
    assert "day_without_rows" not in [each.alert.kind for each in list_open_alerts(database)]


def test_two_wrong_ads_do_not_cancel_out(database, client, simulator, landed, query):
    account, dates = landed
    ads = query(
        "select ad_id from raw.insights_hourly where event_date = %s and event_hour = 12"
        " order by 1 limit 2",
        dates[3],
    )
    for ad, clicks in zip(ads, (7, -7), strict=True):
        with database.connect() as connection:
            connection.execute(
                "update raw.insights_hourly set clicks = clicks + %s"
                " where event_date = %s and ad_id = %s and event_hour = 12",
                [clicks, dates[3], ad["ad_id"]],
            )
    reports = pull_days_and_hours(database, client, account, dates, refresh())
    assert [r.partition_date for r in reports if r.api_calls] == [dates[3]]
    assert [r.updated for r in reports if r.api_calls] == [2]


def test_a_conversion_alone_changes_no_hours(database, client, simulator, landed, query):
    account, dates = landed
    (ad,) = query("select min(ad_id) as id from raw.insights_daily where event_date = %s", dates[4])
    simulator.control.adjust(account.account_id, ad["id"], dates[4], {"purchase": 3}, hour=None)
    ctx = refresh()
    reports = pull_days_and_hours(database, client, account, dates, ctx)
    assert not any(report.api_calls for report in reports)
    assert query(
        "select distinct event_date from raw.insights_changes where asset = 'insights_daily'"
    ) == [{"event_date": dates[4]}]


def test_a_kill_between_days_and_hours_loses_no_change(database, client, simulator, landed, query):
    """The days are landed already, so no difference to them tells any more that hours changed."""
    account, dates = landed
    simulator.control.restate(account.account_id, [dates[2]], "2")
    pull_insights(database, client, account, "insights_daily", dates, refresh())
    for number in (1, 2):  # the same sync resumed, or the next day's
        reports = pull_days_and_hours(database, client, account, dates, refresh(number))
        assert [r.partition_date for r in reports if r.api_calls] == [dates[2]][: 2 - number]
        assert_lands_the_truth(query, simulator, account, [dates[2]])


def test_a_slice_that_was_never_loaded_is_read(database, client, simulator, landed, query):
    account, dates = landed
    with database.connect() as connection:
        for table in ("raw.insights_hourly", "control.slices"):
            day = "event_date" if table.startswith("raw") else "partition_date"
            connection.execute(f"delete from {table} where {day} = %s", [dates[0]])
    reports = pull_days_and_hours(database, client, account, dates, refresh())
    assert [r.partition_date for r in reports if r.api_calls] == [dates[0]]
    assert_lands_the_truth(query, simulator, account, [dates[0]])


def test_without_their_days_hours_are_read(database, client, simulator, landed):
    """Which asset is pulled first is the caller's to say: hours land no other table."""
    account, dates = landed
    reports = pull_insights(database, client, account, "insights_hourly", dates, refresh())
    assert all(report.fetched for report in reports)


def test_confirmed_slices_do_not_mislead_the_planner(database, client, landed):
    account, dates = landed
    key = SliceKey(account.account_id, "insights_hourly")
    with database.connect() as connection:
        before = rows_per_day(connection, key)
    pull_days_and_hours(database, client, account, dates, refresh())
    with database.connect() as connection:
        assert rows_per_day(connection, key) == before


@pytest.mark.parametrize(
    ("kind", "priority"),
    [(REFRESH_TODAY, Priority.TODAY), (REFRESH_RECENT, Priority.YESTERDAY)],
)
def test_a_refresh_of_today_says_its_priority_the_others_leave_it_to_their_days(
    database, account, kind, priority
):
    """Yesterday's last hours come in today; else a call has the priority of its newest day."""
    yesterday, seen = date(2026, 11, 18), set()
    reader = FakeReader()

    def look(_day):
        with calls_about(yesterday, date(2026, 11, 19)):
            seen.add(current_priority())

    reader.before_part = look
    ctx = PullContext("s", "r", refresh=kind)
    pull_insights(database, reader, account, "insights_hourly", [yesterday], ctx)
    assert seen == {priority}
    assert current_priority() is Priority.TODAY
