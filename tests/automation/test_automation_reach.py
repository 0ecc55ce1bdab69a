"""Reach: asked for once a day in each account's morning, and by its own job only."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from unittest.mock import patch
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline import automation
from meta_ads_pipeline.automation.jobs import jobs, reach_job, sync_job
from meta_ads_pipeline.automation.reach import REACH_CRON
from meta_ads_pipeline.automation.schedules import schedules
from meta_ads_pipeline.automation.sensors import backfill_gaps, retry_failed_slices
from meta_ads_pipeline.automation.windows import (
    reach_is_due,
    reach_window,
)
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.gaps import REACH, SLICED_ASSETS
from meta_ads_pipeline.definitions import build_defs
from meta_ads_pipeline.run_tags import ACCOUNTS_TAG, REFRESH_REACH, REFRESH_TAG
from meta_ads_pipeline.windows import DateWindow, is_settled

NEW_YORK = Account("1", "America/New_York", "USD")
MORNING = datetime(2026, 3, 10, 8, 40, tzinfo=UTC)  # 04:40 of Tuesday in New York, 17:40 in Tokyo


def tick(at: datetime, instance, resources):
    (refresh_reach,) = [each for each in schedules if each.name == "refresh_reach"]
    with (
        patch.object(automation.schedules, "present", lambda: at),
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, resources=resources
        ) as context,
    ):
        data = refresh_reach.evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else data.skip_message


def begin(database, account: str, day: date, at: datetime, status: str = "done") -> None:
    with database.connect() as connection:
        connection.execute(
            "insert into control.slices (account_id, partition_date, asset, status, started_at,"
            " attempts, finished_at, error_kind) values (%s, %s, %s, %s, %s, 1, %s, 'transient')",
            [account, day, REACH, status, at, at],
        )


@pytest.mark.usefixtures("two_accounts")
def test_each_account_is_asked_for_in_its_morning_once(instance, resources, database):
    early = MORNING - timedelta(hours=1)
    assert tick(early, instance, resources).tags[ACCOUNTS_TAG] == "2", "03:40 in New York"
    begin(database, "2", date(2026, 3, 9), early)
    request = tick(MORNING, instance, resources)
    assert request.tags[ACCOUNTS_TAG] == "1"
    assert request.tags[REFRESH_TAG] == REFRESH_REACH
    assert request.tags["dagster/asset_partition_range_start"] == "2026-03-09"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-03-09"
    # A failure is the retries' business.
    begin(database, "1", date(2026, 3, 9), MORNING, "parked")
    assert "every account" in tick(MORNING + timedelta(hours=1), instance, resources)


@pytest.mark.usefixtures("two_accounts")
def test_what_was_pulled_while_the_day_ran_is_pulled_again(instance, resources, database):
    begin(database, "2", date(2026, 3, 9), MORNING)
    begin(database, "1", date(2026, 3, 9), datetime(2026, 3, 9, 20, tzinfo=UTC))
    assert tick(MORNING, instance, resources).tags[ACCOUNTS_TAG] == "1"


@pytest.mark.usefixtures("two_accounts")
def test_one_run_at_a_time(instance, resources, add_run):
    run_id = add_run(DagsterRunStatus.STARTED, {REFRESH_TAG: REFRESH_REACH})
    assert run_id in tick(MORNING, instance, resources)


ZONES = st.sampled_from(
    ["Pacific/Kiritimati", "Asia/Kolkata", "UTC", "Pacific/Niue", "Australia/Lord_Howe"]
)


@given(ZONES, st.integers(0, 364 * 24))
def test_hourly_looks_ask_once_a_day_and_early_enough(zone: str, hours: int):
    account, last = Account("1", zone, "USD"), None
    first = datetime(2026, 1, 1, 0, 40, tzinfo=UTC) + timedelta(hours=hours)
    assert REACH_CRON.startswith("40 ")
    mornings = []
    for hour in range(96):
        now = first + timedelta(hours=hour)
        if reach_is_due(account, last, now):
            last = now
            mornings.append(now.astimezone(ZoneInfo(zone)))
    assert len({local.date() for local in mornings}) == len(mornings) >= 4
    assert all(local.hour in (4, 5) for local in mornings[1:])


def test_after_a_sunday_the_weeks_before_are_looked_at_again_until_they_are_settled():
    tuesday = datetime(2026, 3, 10, 12, tzinfo=UTC)
    assert reach_window([NEW_YORK], tuesday) == DateWindow(date(2026, 3, 9), date(2026, 3, 9))
    monday = tuesday - timedelta(days=1)
    window = reach_window([NEW_YORK], monday)
    assert window.end == date(2026, 3, 8)
    for age in range(30):
        day = date(2026, 2, 2) + timedelta(days=age)
        mondays = [monday + timedelta(weeks=week) for week in range(8)]
        assert any(
            day in reach_window([NEW_YORK], at).dates and is_settled(day, NEW_YORK.timezone, at)
            for at in mondays
        )


@pytest.mark.usefixtures("instance")
def test_only_its_own_job_and_a_full_sync_pull_it():
    # With an instance of its own: Dagster would ask that of an earlier test, which is gone.
    with dg.DagsterInstance.ephemeral():
        graph = build_defs().resolve_asset_graph()
    chosen = {job.name: job.selection.resolve(graph) for job in jobs}
    key, mart = dg.AssetKey(["raw", REACH]), dg.AssetKey(["marts", "reach"])
    assert {name for name, keys in chosen.items() if key in keys} == {"sync", "refresh_reach"}
    results = dg.AssetKey(["control", "sync_results"])
    assert chosen["refresh_reach"] == {key, mart, results}
    assert mart in chosen["refresh_insights"], "the control totals are in it, too"
    assert chosen["sync"] - chosen["refresh_insights"] == {key}


@pytest.fixture
def history(database, two_accounts):
    """Ten days of the account in New York; reach of all of them but the given."""
    end = (datetime.now(UTC) - timedelta(days=1)).date()

    def history(*missing: int) -> None:
        with database.connect() as connection:
            connection.execute(
                "insert into control.slices (account_id, partition_date, asset, status, pulled_at)"
                " select '1', day::date, asset, 'done', now() from unnest(%s::text[]) as asset,"
                "   generate_series(%s::date, %s::date, interval '1 day') as day"
                " where asset <> %s or day::date <> all(%s::date[])",
                [
                    *([*SLICED_ASSETS, REACH], end - timedelta(days=10), end, REACH),
                    [end - timedelta(days=back) for back in missing],
                ],
            )

    return history


def test_gaps_of_reach_are_filled_without_the_rest(
    instance, resources, database, history, new_account_days
):
    new_account_days(0)
    history(5)

    def ask():
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            return backfill_gaps.evaluate_tick(context).run_requests[0]

    assert ask().job_name == reach_job.name
    with database.connect() as connection:
        connection.execute(
            "delete from control.slices where asset = 'ads'"
            " and partition_date = (select min(partition_date) + 2 from control.slices)"
        )
    assert ask().job_name == sync_job.name, "the rest first"


def test_a_failure_of_reach_alone_is_retried_alone(instance, resources, database, two_accounts):
    long_ago = datetime.now(UTC) - timedelta(days=2)
    begin(database, "1", date(2026, 3, 1), long_ago, "parked")

    def ask():
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            return retry_failed_slices.evaluate_tick(context).run_requests[0]

    assert ask().job_name == reach_job.name
    with database.connect() as connection:
        connection.execute(
            "insert into control.slices (account_id, partition_date, asset, status, started_at,"
            " attempts, finished_at, error_kind)"
            " values ('1', '2026-03-01', 'ads', 'parked', %s, 1, %s, 'transient')",
            [long_ago, long_ago],
        )
    assert ask().job_name == sync_job.name


def test_a_setting_turns_it_off():
    """Where the code is loaded: there is then nothing to run, check, retry or miss."""
    listed = subprocess.run(
        [
            sys.executable,
            "-c",
            "from meta_ads_pipeline.automation.jobs import jobs\n"
            "from meta_ads_pipeline.automation.schedules import schedules\n"
            "from meta_ads_pipeline.raw.assets import raw_assets\n"
            "keys = [key for asset in raw_assets for key in asset.keys]\n"
            "names = [key.path[-1] for key in keys] + [job.name for job in jobs]\n"
            "print(*names, *[s.name for s in schedules])",
        ],
        env={**os.environ, "META_ADS_REACH": "false"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {REACH, "refresh_reach"} & set(listed)
    assert {"account_totals", "refresh_insights"} <= set(listed)
