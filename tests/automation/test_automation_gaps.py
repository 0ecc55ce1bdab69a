"""The sensor that fills gaps: one bounded run at a time, and nobody's work twice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.storage.tags import RUN_KEY_TAG

from meta_ads_pipeline.automation.sensors import GAP_ACCOUNT_DAYS, backfill_gaps
from meta_ads_pipeline.control.gaps import SLICED_ASSETS
from meta_ads_pipeline.run_tags import ACCOUNTS_TAG, REFRESH_TAG, SYNC_TAG

YESTERDAY = (datetime.now(UTC) - timedelta(days=2)).date()


@pytest.fixture
def history(database, two_accounts):
    """A hundred days of the account in New York, but for the dates given."""

    def history(*missing):
        with database.connect() as connection:
            connection.execute(
                "insert into control.slices (account_id, partition_date, asset, status, pulled_at)"
                " select '1', day::date, asset, 'done', now() from unnest(%s::text[]) as asset,"
                "   generate_series(%s::date, %s::date, interval '1 day') as day"
                " where day::date <> all(%s::date[])",
                [
                    *(list(SLICED_ASSETS), YESTERDAY - timedelta(days=100)),
                    *(YESTERDAY + timedelta(days=2), list(missing)),
                ],
            )

    return history


def tick(instance, resources):
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        data = backfill_gaps.evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else data.skip_message


def test_it_is_off_by_default():
    assert backfill_gaps.default_status is dg.DefaultSensorStatus.STOPPED


def test_a_gap_is_asked_for_once_a_day_under_a_sync_that_skips_what_is_done(
    instance, resources, database, history
):
    gap = [YESTERDAY - timedelta(days=n) for n in (10, 11, 90)]
    history(*gap)
    request = tick(instance, resources)
    assert request.tags[ACCOUNTS_TAG] == "1"
    assert request.tags[REFRESH_TAG] == "gaps"
    assert request.tags["dagster/asset_partition_range_start"] == gap[1].isoformat()
    assert request.tags["dagster/asset_partition_range_end"] == gap[0].isoformat()
    again = tick(instance, resources)
    assert (again.run_key, again.tags[SYNC_TAG]) == (request.run_key, request.tags[SYNC_TAG])


def test_a_gap_whose_run_died_before_it_began_is_asked_for_again_on_the_same_day(
    instance, resources, history, add_run
):
    history(YESTERDAY - timedelta(days=10))
    keys = []
    for _ in range(4):
        keys.append(tick(instance, resources).run_key)
        add_run(DagsterRunStatus.FAILURE, {RUN_KEY_TAG: keys[-1]})
    assert len(set(keys)) == 3, "but not without end"
    assert keys[2] == keys[3]


@pytest.mark.parametrize("status", [DagsterRunStatus.SUCCESS, DagsterRunStatus.CANCELED])
def test_a_gap_that_a_run_left_or_a_person_cancelled_waits_for_tomorrow(
    instance, resources, history, add_run, status
):
    history(YESTERDAY - timedelta(days=10))
    key = tick(instance, resources).run_key
    add_run(status, {RUN_KEY_TAG: key})
    assert tick(instance, resources).run_key == key, "Dagster skips a key that it knows"


def test_a_new_account_is_pulled_back_to_the_setting_and_no_further(
    instance, resources, database, history, new_account_days
):
    """As if the refresh of today had just pulled the first dates of an account connected today."""
    history(*(YESTERDAY - timedelta(days=n) for n in range(10, 101)))
    new_account_days(40)
    request = tick(instance, resources)
    start, end = (request.tags[f"dagster/asset_partition_range_{at}"] for at in ("start", "end"))
    assert end == (YESTERDAY - timedelta(days=10)).isoformat()
    first_seen = datetime.now(UTC).date()
    assert abs((first_seen - timedelta(days=40) - date.fromisoformat(start)).days) <= 1
    new_account_days(0)
    assert tick(instance, resources) == "no gap inside the history"


def test_a_batch_is_bounded(instance, resources, history):
    history(*(YESTERDAY - timedelta(days=n) for n in range(90)))
    tags = tick(instance, resources).tags
    start, end = (tags[f"dagster/asset_partition_range_{edge}"] for edge in ("start", "end"))
    days = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).days + 1
    assert days == GAP_ACCOUNT_DAYS


def test_nothing_is_asked_for_where_nothing_is_missing(instance, resources, history):
    assert tick(instance, resources) == "no gap inside the history"
    history()
    assert tick(instance, resources) == "no gap inside the history"


def test_dates_that_another_run_is_at_are_left_to_it(instance, resources, history, add_run):
    missing = YESTERDAY - timedelta(days=10)
    history(missing)
    elsewhere = {
        "dagster/asset_partition_range_start": "2020-01-01",
        "dagster/asset_partition_range_end": "2020-02-01",
    }
    add_run(DagsterRunStatus.STARTED, elsewhere)
    assert isinstance(tick(instance, resources), dg.RunRequest)
    busy = add_run(DagsterRunStatus.STARTED, {"dagster/partition": missing.isoformat()})
    assert busy in tick(instance, resources)


def test_one_backfill_at_a_time(instance, resources, history, add_run):
    history(YESTERDAY - timedelta(days=10))
    run_id = add_run(DagsterRunStatus.STARTED, {REFRESH_TAG: "gaps"})
    assert tick(instance, resources) == f"backfill run {run_id} is not over yet"
