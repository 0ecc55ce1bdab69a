"""Retries: what is due, together, after a growing delay, without a storm. Alerts: no secrets."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from meta_ads_pipeline.automation.retries import (
    ABANDONED_AFTER,
    LOCKS_ARE_TAKEN_AGAIN_WITHIN,
    OpenSlice,
    next_retry,
    retry_at,
)
from meta_ads_pipeline.automation.sensors import (
    alert_on_run_failure,
    open_slices,
    retry_failed_slices,
)
from meta_ads_pipeline.automation.slice_alerts import slice_alerts
from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.alerts import list_open_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.retry_delays import (
    FIRST_DELAY,
    LONGEST_DELAY,
    NEEDS_A_PERSON_DELAY,
)
from meta_ads_pipeline.control.slices import SliceKey
from meta_ads_pipeline.run_tags import ACCOUNTS_TAG, REFRESH_TAG, SYNC_TAG

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
FAILED = OpenSlice(
    **{"account_id": "1", "partition_date": date(2026, 3, 9), "asset": "ads", "status": "failed"},
    **{"attempts": 1, "sync_id": "s1", "run_id": "r1", "finished_at": NOW - timedelta(hours=1)},
    error_kind="transient",
)


@pytest.mark.parametrize(
    ("kind", "attempts", "delay"),
    [
        ("transient", 1, FIRST_DELAY),
        ("rate_limit", 2, 2 * FIRST_DELAY),
        ("internal", 5, 16 * FIRST_DELAY),
        ("transient", 500, LONGEST_DELAY),
        ("auth", 1, NEEDS_A_PERSON_DELAY),
        ("permission", 2, 2 * NEEDS_A_PERSON_DELAY),
        ("auth", 9, LONGEST_DELAY),
    ],
)
def test_the_delay_doubles_up_to_a_day(kind: str, attempts: int, delay: timedelta):
    slice_ = replace(FAILED, error_kind=kind, attempts=attempts)
    assert retry_at(slice_) == slice_.finished_at + delay


def test_a_wrong_request_is_not_sent_again():
    assert retry_at(replace(FAILED, error_kind="invalid")) is None
    assert next_retry([replace(FAILED, error_kind="invalid")], NOW) is None


def test_a_slice_that_names_its_time_is_taken_at_its_word():
    mismatched = replace(FAILED, status="mismatched", next_attempt_at=NOW)
    assert next_retry([mismatched], NOW - timedelta(seconds=1)) is None
    assert next_retry([mismatched], NOW) is not None


def test_failures_of_one_sync_go_together_the_newest_dates_first():
    old = [replace(FAILED, sync_id="backfill", partition_date=date(2025, 1, n)) for n in (1, 2, 3)]
    new = [FAILED, replace(FAILED, account_id="2", partition_date=date(2026, 3, 7))]
    not_due = replace(FAILED, account_id="3", next_attempt_at=NOW + timedelta(hours=1))
    plan = next_retry([*old, *new, not_due], NOW)
    assert plan is not None
    assert (plan.sync_id, plan.account_ids) == ("s1", ["1", "2"])
    assert (plan.window.start, plan.window.end) == (date(2026, 3, 7), date(2026, 3, 9))
    rest = next_retry(old, NOW)
    assert rest is not None
    assert len(rest.slices) == 3


def test_a_run_at_work_keeps_its_slices():
    running = replace(FAILED, status="running", started_at=NOW, finished_at=None)
    assert next_retry([FAILED, running], NOW, busy_runs={"r1"}) is None
    killed = next_retry([running], NOW)
    assert killed is not None, "its run is over: it was killed"
    # A process that was killed may leave its run marked as started for ever.
    assert next_retry([running], NOW + ABANDONED_AFTER, busy_runs={"r1"}) is not None


def test_the_lock_tells_whether_a_running_slice_has_somebody_at_it():
    running = replace(FAILED, status="running", started_at=NOW, finished_at=None)
    held, free = replace(running, is_held=True), replace(running, is_held=False)
    days_later = NOW + timedelta(days=3)
    assert next_retry([held], days_later) is None
    assert next_retry([held], days_later, busy_runs={"r1"}) is None
    assert next_retry([free], NOW) is not None
    assert next_retry([free], NOW, busy_runs={"r1"}) is None
    later = NOW + LOCKS_ARE_TAKEN_AGAIN_WITHIN
    assert next_retry([free], later, busy_runs={"r1"}) is not None


def test_the_run_key_changes_with_an_attempt_and_with_the_day():
    def key(slice_: OpenSlice, now: datetime) -> str:
        plan = next_retry([slice_], now)
        assert plan is not None
        return plan.run_key(now)

    assert key(FAILED, NOW) == key(FAILED, NOW + timedelta(minutes=1))
    again = replace(FAILED, attempts=2)
    keys = {key(FAILED, NOW), key(again, NOW), key(FAILED, NOW + timedelta(days=1))}
    assert len(keys) == 3


def add_slice(database: Database, account: str, day: str, **values: object) -> None:
    row = {
        **{"account_id": account, "partition_date": day, "asset": "ads", "status": "failed"},
        **{"attempts": 1, "sync_id": "s1", "run_id": "r1", "error_kind": "transient"},
        **{"finished_at": datetime.now(UTC) - timedelta(hours=1), **values},
    }
    with database.connect() as connection:
        connection.execute(
            f"insert into control.slices ({', '.join(row)})"
            f" values ({', '.join(f'%({name})s' for name in row)})",
            row,
        )


def tick(instance: dg.DagsterInstance, resources: dict[str, object]) -> object:
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        data = retry_failed_slices.evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else data.skip_message


@pytest.mark.usefixtures("two_accounts")
def test_one_run_for_the_failing_accounts_and_their_dates(instance, resources, database):
    add_slice(database, "1", "2026-03-07")
    add_slice(database, "1", "2026-03-09", status="parked")
    add_slice(database, "2", "2026-03-08", status="done")
    request = tick(instance, resources)
    assert (
        request.tags.items()
        >= {
            "dagster/asset_partition_range_start": "2026-03-07",
            "dagster/asset_partition_range_end": "2026-03-09",
            REFRESH_TAG: "retry",
            ACCOUNTS_TAG: "1",
            SYNC_TAG: "s1",
        }.items()
    )
    assert request.run_key == tick(instance, resources).run_key


@pytest.mark.usefixtures("two_accounts")
def test_nothing_is_asked_for_when_nothing_is_due(instance, resources, database):
    assert tick(instance, resources) == "no slice is due"
    add_slice(database, "1", "2026-03-07", finished_at=datetime.now(UTC))
    add_slice(database, "1", "2026-03-08", status="done")
    assert tick(instance, resources) == "no slice is due"


def test_one_retry_at_a_time(instance, resources, database, two_accounts, add_run):
    add_slice(database, "1", "2026-03-07")
    run_id = add_run(DagsterRunStatus.STARTED, {REFRESH_TAG: "retry"})
    assert tick(instance, resources) == f"retry run {run_id} is not over yet"


def test_the_run_that_failed_them_is_waited_for(
    instance, resources, database, two_accounts, add_run
):
    run_id = add_run(DagsterRunStatus.STARTED, {})
    add_slice(database, "1", "2026-03-07", run_id=run_id)
    assert tick(instance, resources) == "no slice is due"


def test_accounts_that_are_not_synced_are_not_retried(instance, resources, database, two_accounts):
    add_slice(database, "1", "2026-03-07")
    with database.connect() as connection:
        connection.execute("update control.ad_accounts set is_active = false")
    assert tick(instance, resources) == "no slice is due"


def test_accounts_that_were_not_chosen_are_not_retried(
    instance, resources, database, two_accounts, chosen_accounts
):
    add_slice(database, "1", "2026-03-07")
    assert tick(instance, resources | {"meta": chosen_accounts("2")}) == "no slice is due"
    assert tick(instance, resources | {"meta": chosen_accounts("1")}).tags[ACCOUNTS_TAG] == "1"


def test_a_failure_that_persists_is_told_once_without_its_token_until_it_is_over(
    instance, resources, database, two_accounts, caplog
):
    add_slice(
        database,
        *("1", "2026-03-07"),
        attempts=3,
        error_message="GET ?access_token=EAAB0123456789abcdef failed",
    )
    with caplog.at_level(logging.WARNING, "meta_ads_pipeline.control.alerts"):
        tick(instance, resources)
        tick(instance, resources)
    (message,) = caplog.messages
    assert "ads of 2026-03-07 is failed after 3 attempts: GET" in message
    assert "meta-ads sync --start 2026-03-07 --end 2026-03-07 --account 1" in message
    assert "EAAB" not in message
    (alert,) = list_open_alerts(database)
    assert (alert.alert.subject, alert.times_raised) == ("ad account 1", 2)
    with database.connect() as connection:
        connection.execute("update control.slices set status = 'done'")
    tick(instance, resources)
    assert list_open_alerts(database) == []


def test_a_failure_is_news_again_only_when_its_attempts_have_doubled():
    def stage(attempts: int) -> str:
        (alert,) = slice_alerts([replace(FAILED, attempts=attempts)])
        return alert.stage

    assert [stage(n) for n in (3, 4, 5)] == [stage(3)] * 3
    assert [stage(n) for n in (6, 11)] == [stage(6)] * 2
    assert len({stage(3), stage(6), stage(12), stage(24)}) == 4


def test_a_slice_is_known_to_be_held_by_the_lock_of_its_run(database, two_accounts):
    add_slice(database, "1", "2026-03-07", status="running")
    key = SliceKey("1", "ads")
    with slices.exclusive(database, key, [date(2026, 3, 7)]) as lock:
        assert [s.is_held for s in open_slices(database)] == [True]
        lock.release([date(2026, 3, 7)])
        assert [s.is_held for s in open_slices(database)] == [False]
    with slices.exclusive(database, key, [date(2026, 3, 8)]):
        assert [s.is_held for s in open_slices(database)] == [False]


def test_what_a_dead_token_left_is_due_once_meta_has_accepted_the_token(
    instance, resources, database, two_accounts
):
    failed_at = datetime.now(UTC) - timedelta(hours=1)
    later = failed_at + NEEDS_A_PERSON_DELAY
    add_slice(
        database,
        *("1", "2026-03-07"),
        error_kind="auth",
        finished_at=failed_at,
        next_attempt_at=later,
    )
    assert tick(instance, resources) == "no slice is due"
    with database.connect() as connection:
        row = connection.execute(
            "insert into control.connections (workspace_id, name, last_validated_at)"
            " select workspace_id, 'main', now() from control.workspaces"
            " returning connection_id"
        ).fetchone()
        connection.execute("update control.ad_accounts set connection_id = %(connection_id)s", row)
    assert tick(instance, resources).tags[ACCOUNTS_TAG] == "1"


def test_a_failed_run_is_told_with_its_dates_and_cause(instance, caplog):
    days = dg.DailyPartitionsDefinition("2026-01-01")

    @dg.asset(partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run())
    def pulled() -> None:
        raise dg.Failure(description="every ad account failed: access_token=EAAB0123456789abcdef")

    definitions = dg.Definitions([pulled], jobs=[dg.define_asset_job("sync", [pulled])])
    result = definitions.resolve_job_def("sync").execute_in_process(
        instance=instance,
        raise_on_error=False,
        tags={
            "dagster/asset_partition_range_start": "2026-01-01",
            "dagster/asset_partition_range_end": "2026-01-03",
            ACCOUNTS_TAG: "1,2",
        },
    )
    context = dg.build_run_status_sensor_context(
        sensor_name="alert_on_run_failure",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    with caplog.at_level(logging.ERROR, "meta_ads_pipeline.alerts"):
        alert_on_run_failure(context)
    message = next(m for m in caplog.messages if m.startswith("run "))
    assert (
        f"{result.run_id} of sync of 2026-01-01..2026-01-03 for 1,2 failed: pulled: every"
        in message
    )
    assert "EAAB" not in message
