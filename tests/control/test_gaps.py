"""Gaps inside the history: found by themselves, whatever left them, and asked for in batches."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.control.check_results import DayResult, record_results
from meta_ads_pipeline.control.gaps import (
    REACH,
    SLICED_ASSETS,
    Gap,
    GapBatch,
    find_gaps,
    next_batch,
)
from meta_ads_pipeline.control.slices import SliceKey, done_under
from meta_ads_pipeline.control.syncs import open_gap_sync, open_sync
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES

NOW = datetime(2026, 3, 10, 3, tzinfo=UTC)  # still the 9th in New York, the 10th in Tokyo
FIRST = date(2026, 3, 1)


@pytest.fixture
def accounts(database):
    with database.connect() as connection:
        save_accounts(
            connection,
            [Account("1", "America/New_York", "USD"), Account("2", "Asia/Tokyo", "JPY")],
        )


@pytest.fixture
def add(database):
    def add(account, first, last, assets=SLICED_ASSETS, status="done"):
        with database.connect() as connection:
            connection.execute(
                "insert into control.slices (account_id, partition_date, asset, status, pulled_at,"
                "   sync_id)"
                " select %s, day::date, asset, %s, now(), 'old' from unnest(%s::text[]) as asset,"
                "   generate_series(%s::date, %s::date, interval '1 day') as day"
                " on conflict (account_id, partition_date, asset) do update"
                " set status = excluded.status",
                [account, status, list(assets), first, last],
            )

    return add


def day(number):
    return date(2026, 3, number)


@pytest.mark.usefixtures("accounts")
def test_a_whole_history_has_no_gap_up_to_the_local_yesterday(database, add):
    assert find_gaps(database, NOW) == []
    add("1", FIRST, day(8))
    add("2", FIRST, day(9))
    assert find_gaps(database, NOW) == []
    assert {gap.account_id for gap in find_gaps(database, NOW + timedelta(hours=6))} == {"1"}


@pytest.mark.usefixtures("accounts")
def test_reach_has_a_history_of_its_own(database, add):
    """It may have been turned on later, and yesterday's is asked for in the morning."""
    add("1", FIRST, day(8))
    add("1", day(4), day(4), [REACH])
    add("1", day(6), day(6), [REACH])
    assert find_gaps(database, NOW) == [
        Gap("1", REACH, day(7), day(7), "missing"),
        Gap("1", REACH, day(5), day(5), "missing"),
    ]
    assert find_gaps(database, NOW, with_reach=False) == []


@pytest.mark.usefixtures("accounts")
def test_missing_and_failed_dates_are_found_per_asset(database, add):
    add("1", FIRST, day(8))
    with database.connect() as connection:
        connection.execute(
            "delete from control.slices where asset = 'ads' and partition_date between"
            " '2026-03-04' and '2026-03-05'"
        )
    add("1", day(6), day(6), ["ads", "insights_daily"], "parked")
    add("1", day(7), day(7), ["insights_hourly"], "mismatched")
    assert find_gaps(database, NOW) == [
        Gap("1", "ads", day(6), day(6), "parked"),
        Gap("1", "insights_daily", day(6), day(6), "parked"),
        Gap("1", "ads", day(4), day(5), "missing"),
    ]


@pytest.mark.usefixtures("accounts")
def test_history_begins_with_insights_not_with_entities(database, add):
    add("1", FIRST, day(5), ["ads", "campaigns"])
    add("1", day(6), day(8))
    assert find_gaps(database, NOW) == []


@pytest.mark.usefixtures("accounts")
def test_only_active_and_chosen_accounts_count(database, add):
    add("1", FIRST, FIRST)
    add("2", FIRST, FIRST)
    assert {gap.account_id for gap in find_gaps(database, NOW, ["2"])} == {"2"}
    with database.connect() as connection:
        connection.execute("update control.ad_accounts set is_active = (account_id = '1')")
    assert {gap.account_id for gap in find_gaps(database, NOW)} == {"1"}


def test_a_batch_is_the_newest_missing_dates_within_bounds():
    gaps = [
        Gap("1", "insights_hourly", day(2), day(7), "missing"),
        Gap("2", "insights_hourly", day(7), day(7), "missing"),
        Gap("1", "ads", day(8), day(8), "parked"),
        Gap("3", "ads", day(2), day(3), "missing"),
    ]
    assert next_batch(gaps, 60) == GapBatch(day(2), day(7), ("1", "2"))
    assert next_batch(gaps, 4) == GapBatch(day(6), day(7), ("1", "2"))
    assert next_batch(gaps, 1) == GapBatch(day(7), day(7), ("1",))
    assert next_batch(gaps[3:], 60) == GapBatch(day(2), day(3), ("3",))
    assert next_batch([gaps[2]], 60) is None
    assert next_batch([], 60) is None


@pytest.fixture
def pulled(database):
    """Sets when one account-day's insights were last pulled."""

    def pulled(account, number, at, assets=INSIGHTS_TABLES):
        with database.connect() as connection:
            connection.execute(
                "update control.slices set pulled_at = %s where account_id = %s"
                " and partition_date = %s and asset = any(%s)",
                [at, account, day(number), list(assets)],
            )

    return pulled


def states(database, now):
    with database.connect() as connection:
        connection.execute("select set_config('meta_ads.now', %s, true)", [now.isoformat()])
        rows = connection.execute(
            "select event_date, state, is_due from control.account_days order by 1"
        ).fetchall()
    return {row["event_date"].day: (row["state"], row["is_due"]) for row in rows}


@pytest.mark.usefixtures("accounts")
def test_a_half_day_is_a_gap_however_long_the_outage(database, add, pulled):
    """New York: the 3rd ends on the 4th at 05:00 UTC."""
    add("1", FIRST, day(8))
    for number in range(1, 9):
        pulled("1", number, datetime(2026, 3, number + 1, 12, tzinfo=UTC))
    pulled("1", 3, datetime(2026, 3, 4, 4, 59, tzinfo=UTC), ["account_totals"])
    assert states(database, NOW)[3] == ("incomplete", True)
    assert states(database, NOW)[4] == ("complete", False)
    assert {(gap.start, gap.status) for gap in find_gaps(database, NOW)} == {(day(3), "incomplete")}
    assert next_batch(find_gaps(database, NOW), 60) == GapBatch(day(3), day(3), ("1",))
    sync_id = open_gap_sync(database, day(3), day(3), ["1"])
    with database.connect() as connection:
        connection.execute("select set_config('meta_ads.now', %s, true)", [NOW.isoformat()])
        for asset, is_done in (("account_totals", False), ("insights_daily", True)):
            done = done_under(connection, SliceKey("1", asset), sync_id)
            assert (day(3) in done) is is_done
            assert day(4) in done
    pulled("1", 3, NOW)
    assert find_gaps(database, NOW) == []


@pytest.mark.usefixtures("accounts")
def test_a_day_is_pulled_once_more_when_it_settles(database, add, pulled):
    add("1", FIRST, FIRST)
    pulled("1", 1, datetime(2026, 3, 29, 12, tzinfo=UTC))  # 28 days after
    before, after = (datetime(2026, 3, number, 12, tzinfo=UTC) for number in (29, 30))
    assert states(database, before)[1] == ("complete", False)
    assert states(database, after)[1] == ("unsettled", True)
    gaps = [gap for gap in find_gaps(database, after) if gap.end == FIRST]
    assert {(gap.asset, gap.status) for gap in gaps} == {(a, "unsettled") for a in INSIGHTS_TABLES}
    pulled("1", 1, after)
    assert states(database, after)[1] == ("settled", False)
    assert [gap for gap in find_gaps(database, after) if gap.end == FIRST] == []


@pytest.mark.usefixtures("accounts")
def test_a_held_day_is_held_until_its_check_passes(database, add, pulled):
    add("1", FIRST, FIRST)
    pulled("1", 1, datetime(2026, 3, 2, 12, tzinfo=UTC))
    for status, state in (("failed", "held"), ("passed", "complete")):
        record_results(
            database,
            ("marts/reconciliation", "reconciliation"),
            "block",
            [DayResult("1", FIRST, status, message="spend is off")],
            run_id=status,
        )
        assert states(database, NOW)[1] == (state, False)


@pytest.mark.usefixtures("accounts")
def test_a_gap_sync_takes_whatever_was_ever_done_as_done(database, add):
    add("1", FIRST, day(3), INSIGHTS_TABLES)
    sync_id = open_gap_sync(database, FIRST, day(5), ["1"])
    assert open_gap_sync(database, FIRST, day(5), ["1"]) == sync_id
    ordinary = open_sync(database, FIRST, day(5), ["1"]).sync_id
    with database.connect() as connection:
        key = SliceKey("1", "insights_daily")
        assert set(done_under(connection, key, sync_id)) == {FIRST, day(2), day(3)}
        assert done_under(connection, key, ordinary) == {}
