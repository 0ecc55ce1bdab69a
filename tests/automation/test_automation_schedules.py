"""Schedules: one run a tick over the right dates, not while the last one is at work."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from unittest.mock import patch
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster import DagsterRunStatus, RunRequest, SkipReason
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline import automation
from meta_ads_pipeline.automation.jobs import entities_job, reach_job, refresh_job
from meta_ads_pipeline.automation.schedules import build_schedules, schedules
from meta_ads_pipeline.automation.windows import (
    cron_for,
    is_due,
    recent_window,
    today_window,
)
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.partitions import FIRST_PARTITION
from meta_ads_pipeline.run_tags import REFRESH_TAG
from meta_ads_pipeline.settings import Settings
from meta_ads_pipeline.windows import DateWindow, is_settled

BY_NAME = {schedule.name: schedule for schedule in schedules}
NEW_YORK = Account("1", "America/New_York", "USD")
TOKYO = Account("2", "Asia/Tokyo", "JPY")
NOON = datetime(2026, 3, 10, 16, tzinfo=UTC)  # noon in New York, 01:00 of the 11th in Tokyo


def tick(
    name: str, at: datetime, instance, resources, late: timedelta = timedelta(0)
) -> RunRequest | SkipReason:
    """What the tick of an instant says, evaluated so much later."""
    with (
        patch.object(automation.schedules, "present", lambda: at + late),
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, resources=resources
        ) as context,
    ):
        data = BY_NAME[name].evaluate_tick(context)
    if data.run_requests:
        (request,) = data.run_requests
        return request
    return SkipReason(data.skip_message)


def window_of(request: RunRequest) -> tuple[str, str]:
    return (
        request.tags["dagster/asset_partition_range_start"],
        request.tags["dagster/asset_partition_range_end"],
    )


@pytest.mark.usefixtures("two_accounts")
def test_today_is_one_run_over_every_accounts_today(instance, resources):
    request = tick("refresh_today", NOON, instance, resources)
    # Tokyo's 10th ended an hour ago and is not closed; New York's 9th is.
    assert window_of(request) == ("2026-03-10", "2026-03-11")
    assert request.tags[REFRESH_TAG] == "today"
    assert request.partition_key is None


@pytest.mark.usefixtures("two_accounts")
def test_the_last_28_days_are_one_run(instance, resources):
    request = tick("refresh_recent_28_days", NOON, instance, resources)
    assert window_of(request) == ("2026-02-09", "2026-03-10")


@pytest.mark.usefixtures("two_accounts")
def test_no_range_begins_before_there_are_partitions(instance, resources):
    young = datetime(FIRST_PARTITION.year, FIRST_PARTITION.month, 9, 12, tzinfo=UTC)
    request = tick("refresh_recent_28_days", young, instance, resources)
    assert window_of(request) == (str(FIRST_PARTITION), str(young.date() - timedelta(days=1)))


@pytest.mark.usefixtures("two_accounts")
def test_a_tick_asks_for_the_same_run_however_often_it_is_evaluated(instance, resources):
    keys = {tick("refresh_today", NOON, instance, resources).run_key for _ in range(2)}
    later = tick("refresh_today", NOON + timedelta(minutes=15), instance, resources).run_key
    assert len(keys | {later}) == 2


@pytest.mark.parametrize(
    "status",
    [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED],
)
@pytest.mark.usefixtures("two_accounts")
def test_nothing_is_asked_for_while_the_last_run_is_not_over(instance, resources, add_run, status):
    run_id = add_run(status, {REFRESH_TAG: "today"})
    skipped = tick("refresh_today", NOON, instance, resources)
    assert run_id in skipped.skip_message
    # Another kind, and the same kind once it is over, go on.
    assert isinstance(tick("refresh_entities", NOON, instance, resources), RunRequest)


@pytest.mark.usefixtures("two_accounts")
def test_runs_that_are_over_do_not_hold_up_the_next(instance, resources, add_run):
    add_run(DagsterRunStatus.FAILURE, {REFRESH_TAG: "today"})
    add_run(DagsterRunStatus.SUCCESS, {REFRESH_TAG: "today"})
    add_run(DagsterRunStatus.STARTED, {REFRESH_TAG: "recent"})
    assert isinstance(tick("refresh_today", NOON, instance, resources), RunRequest)


def test_before_the_first_sync_the_dates_are_utcs(instance, resources):
    assert window_of(tick("refresh_today", NOON, instance, resources)) == (
        *("2026-03-10", "2026-03-10"),
    )


def test_accounts_that_are_not_synced_do_not_widen_the_window(
    instance, resources, two_accounts, database
):
    with database.connect() as connection:
        connection.execute("update control.ad_accounts set is_active = account_id = '1'")
    assert window_of(tick("refresh_today", NOON, instance, resources)) == (
        *("2026-03-10", "2026-03-10"),
    )


def test_they_are_off_unless_the_settings_say_otherwise():
    def states(settings: Settings) -> set[dg.DefaultScheduleStatus]:
        return {schedule.default_status for schedule in build_schedules(settings)}

    assert states(Settings()) == {dg.DefaultScheduleStatus.STOPPED}
    assert states(Settings(META_ADS_SCHEDULES_ON=True)) == {dg.DefaultScheduleStatus.RUNNING}


def test_intervals_come_from_the_settings():
    built = build_schedules(
        Settings(PERFORMANCE_SYNC_INTERVAL_MINUTES=20, META_SYNC_INTERVAL_MINUTES=240)
    )
    crons = {schedule.name: schedule.cron_schedule for schedule in built}
    assert crons["refresh_today"] == "*/20 * * * *"
    assert crons["refresh_entities"] == "0 * * * *"
    assert {schedule.job_name for schedule in built} == {
        *(refresh_job.name, entities_job.name, reach_job.name),
    }


def test_the_last_28_days_are_read_as_often_as_the_settings_say():
    def cron(**settings) -> str:
        built = {schedule.name: schedule for schedule in build_schedules(Settings(**settings))}
        return built["refresh_recent_28_days"].cron_schedule

    assert cron() == "20 5,17 * * *"
    assert cron(META_ADS_RECENT_REFRESHES_PER_DAY=1) == "20 5 * * *"
    assert cron(META_ADS_RECENT_REFRESHES_PER_DAY=3) == "20 5,13,21 * * *"


def test_a_tick_between_two_intervals_is_skipped(instance, resources):
    skipped = tick("refresh_entities", NOON + timedelta(minutes=15), instance, resources)
    assert skipped.skip_message == "not a multiple of 60 minutes"


@pytest.mark.usefixtures("two_accounts")
def test_of_missed_ticks_only_the_latest_asks(instance, resources):
    missed = tick("refresh_today", NOON, instance, resources, late=timedelta(minutes=15))
    assert "missed" in missed.skip_message
    just = tick("refresh_today", NOON, instance, resources, late=timedelta(minutes=14))
    assert isinstance(just, RunRequest)
    day = NOON.replace(hour=5, minute=20)
    assert isinstance(
        tick("refresh_recent_28_days", day, instance, resources, timedelta(hours=11)), RunRequest
    )
    assert (
        "missed"
        in tick(
            "refresh_recent_28_days", day, instance, resources, timedelta(hours=12)
        ).skip_message
    )


def pulled(database, account: str, day: date, at: datetime, status: str = "done") -> None:
    with database.connect() as connection:
        connection.execute(
            "insert into control.slices (account_id, partition_date, asset, status, pulled_at)"
            " select %s, %s, asset, %s, %s from unnest(%s::text[]) as asset",
            [account, day, status, at, list(INSIGHTS_TABLES)],
        )


def in_order(database, account: str, until: date, *, then: datetime) -> None:
    """A week up to ``until`` closed in order, and that date last pulled at an instant."""
    for back in range(6, 0, -1):
        day = until - timedelta(days=back)
        pulled(database, account, day, datetime(day.year, day.month, day.day + 2, tzinfo=UTC))
    pulled(database, account, until, then)


def test_an_outage_loses_no_hour_and_asks_for_no_closed_date_again(
    instance, resources, two_accounts, database
):
    """The daemon was down from 9 March, 10:00 in New York: its last hours were never read."""
    down = datetime(2026, 3, 9, 14, tzinfo=UTC)
    in_order(database, "1", date(2026, 3, 9), then=down)
    in_order(database, "2", date(2026, 3, 9), then=down)  # 23:00 in Tokyo
    back = NOON + timedelta(days=2)
    first = tick("refresh_today", back, instance, resources)
    assert window_of(first) == ("2026-03-09", "2026-03-13")
    # The run has closed them: the next tick asks for the running dates alone.
    with database.connect() as connection:
        connection.execute("update control.slices set pulled_at = %s", [back])
    for day in (10, 11):
        pulled(database, "1", date(2026, 3, day), back)
        pulled(database, "2", date(2026, 3, day), back)
    pulled(database, "1", date(2026, 3, 12), back)
    pulled(database, "2", date(2026, 3, 12), back)
    after = tick("refresh_today", back + timedelta(minutes=15), instance, resources)
    assert window_of(after) == ("2026-03-12", "2026-03-13")


def test_what_failed_is_left_to_the_retries(instance, resources, two_accounts, database):
    in_order(database, "1", date(2026, 3, 7), then=datetime(2026, 3, 9, tzinfo=UTC))
    pulled(database, "1", date(2026, 3, 8), datetime(2026, 3, 8, 20, tzinfo=UTC), "parked")
    pulled(database, "1", date(2026, 3, 9), datetime(2026, 3, 10, 12, tzinfo=UTC))
    assert window_of(tick("refresh_today", NOON, instance, resources)) == (
        *("2026-03-10", "2026-03-11"),
    )


def test_an_outage_of_the_first_day_is_caught_up(instance, resources, two_accounts, database):
    pulled(database, "1", date(2026, 3, 8), datetime(2026, 3, 8, 20, tzinfo=UTC))
    request = tick("refresh_today", NOON, instance, resources)
    assert window_of(request) == ("2026-03-08", "2026-03-11")


@given(st.integers(5, 1440))
def test_every_interval_gets_its_tick_and_cron_can_say_it(minutes: int):
    cron = cron_for(minutes)
    step = int(cron[2:4]) if cron.startswith("*/") else 60
    start = datetime(2026, 3, 10, tzinfo=UTC)
    ticks = [start + timedelta(minutes=m) for m in range(0, 3 * 1440, step)]
    due = [at for at in ticks if is_due(at, minutes)]
    gaps = {(b - a).total_seconds() / 60 for a, b in pairwise(due)}
    assert gaps <= {float(minutes)}
    assert len(due) >= 3 * 1440 // minutes


ZONES = st.sampled_from(
    ["Pacific/Kiritimati", "Asia/Kolkata", "UTC", "Pacific/Niue", "Europe/Berlin"]
)


@given(
    st.lists(ZONES, min_size=1, max_size=4),
    st.integers(0, 365 * 24 * 60).map(
        lambda m: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=m)
    ),
)
def test_windows_hold_every_open_date_of_every_account(zones: list[str], now: datetime):
    accounts = [Account(str(n), zone, "USD") for n, zone in enumerate(zones)]
    today, recent = today_window(accounts, now), recent_window(accounts, now)
    for zone in zones:
        local = now.astimezone(ZoneInfo(zone))
        assert local.date() in today.dates
        if local.hour < 5:
            assert local.date() - timedelta(days=1) in today.dates
        open_days = [local.date() - timedelta(days=age) for age in range(1, 29)]
        assert not any(is_settled(day, zone, now) for day in open_days)
        assert set(open_days) <= set(recent.dates)
        # The day that has just settled is judged once more, to the cent.
        assert local.date() - timedelta(days=29) in recent.dates
    assert len(today.dates) <= 3
    assert len(recent.dates) <= 31


def test_recent_ends_yesterday():
    now = datetime(2026, 3, 30, 12, tzinfo=UTC)
    assert recent_window([NEW_YORK], now) == DateWindow(date(2026, 3, 1), date(2026, 3, 29))
