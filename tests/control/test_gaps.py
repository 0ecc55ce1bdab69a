"""Gaps inside the history: found by themselves, whatever left them, and asked for in batches."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.control.gaps import (
    INSIGHTS,
    REACH,
    SLICED_ASSETS,
    Gap,
    GapBatch,
    find_gaps,
    next_batch,
)
from meta_ads_pipeline.control.slices import SliceKey, done_under
from meta_ads_pipeline.control.syncs import open_gap_sync, open_sync

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


@pytest.mark.usefixtures("accounts")
def test_a_gap_sync_takes_whatever_was_ever_done_as_done(database, add):
    add("1", FIRST, day(3), INSIGHTS)
    sync_id = open_gap_sync(database, FIRST, day(5), ["1"])
    assert open_gap_sync(database, FIRST, day(5), ["1"]) == sync_id
    ordinary = open_sync(database, FIRST, day(5), ["1"]).sync_id
    with database.connect() as connection:
        key = SliceKey("1", "insights_daily")
        assert set(done_under(connection, key, sync_id)) == {FIRST, day(2), day(3)}
        assert done_under(connection, key, ordinary) == {}
