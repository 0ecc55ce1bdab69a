"""Near real time: today again as soon as it is over, not at once after a failure."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from meta_ads_pipeline.automation import near_real_time
from meta_ads_pipeline.automation.near_real_time import (
    near_real_time_sensors,
    refresh_today_without_pause,
)
from meta_ads_pipeline.automation.schedules import build_schedules
from meta_ads_pipeline.run_tags import REFRESH_TAG, REFRESH_TODAY
from meta_ads_pipeline.settings import Settings


def evaluated(instance, resources):
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        return refresh_today_without_pause.evaluate_tick(context)


def test_it_takes_the_place_of_the_schedule():
    def present(**settings) -> tuple[bool, bool]:
        chosen = Settings(**settings)
        return (
            "refresh_today" in {schedule.name for schedule in build_schedules(chosen)},
            bool(near_real_time_sensors(chosen)),
        )

    assert present() == (True, False)
    assert present(PERFORMANCE_SYNC_INTERVAL_MINUTES=0) == (False, True)


@pytest.mark.usefixtures("two_accounts")
def test_one_run_at_a_time_over_every_accounts_today(instance, resources, add_run):
    (request,) = evaluated(instance, resources).run_requests
    assert request.tags[REFRESH_TAG] == REFRESH_TODAY
    assert request.partition_key is None
    run_id = add_run(DagsterRunStatus.STARTED, {REFRESH_TAG: REFRESH_TODAY})
    assert run_id in evaluated(instance, resources).skip_message


@pytest.mark.usefixtures("two_accounts")
def test_a_failure_is_not_repeated_without_pause(instance, resources, add_run, monkeypatch):
    add_run(DagsterRunStatus.FAILURE, {REFRESH_TAG: REFRESH_TODAY})
    assert "failed less than five minutes ago" in evaluated(instance, resources).skip_message
    monkeypatch.setattr(near_real_time, "AGAIN_AFTER", -near_real_time.AGAIN_AFTER)
    assert evaluated(instance, resources).run_requests


@pytest.mark.usefixtures("two_accounts")
def test_after_a_success_it_goes_on_at_once(instance, resources, add_run):
    add_run(DagsterRunStatus.SUCCESS, {REFRESH_TAG: REFRESH_TODAY})
    assert evaluated(instance, resources).run_requests
