"""Runs whose process is gone are closed, those of live ones left; today never waits for a place."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import pytest
import yaml
from dagster import DagsterRunStatus
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.storage.tags import GRPC_INFO_TAG, WILL_RETRY_TAG
from dagster._daemon.auto_run_reexecution import auto_run_reexecution
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)

from meta_ads_pipeline.automation.abandoned_runs import (
    PROCESS_GONE,
    RETRIED_WITHIN,
    UNSEEN_FOR,
    fail_abandoned_runs,
    requeue_interrupted_runs,
    retry_forgotten_runs,
)
from meta_ads_pipeline.automation.run_queue import LaneRunCoordinator, queue_tags
from meta_ads_pipeline.automation.sensors import close_abandoned_runs
from meta_ads_pipeline.control import run_locks
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.process_identity import ProcessIdentity, this_process
from meta_ads_pipeline.run_tags import LANE_TAG, PRIORITY_TAG, REFRESH_TAG, WORKER_TAG
from meta_ads_pipeline.settings import PROJECT_ROOT
from tests.automation.conftest import AddRun, GivenDatabase
from tests.dagster_instance import persistent_instance

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
WORKER = """
import sys
from meta_ads_pipeline.control import run_locks
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.process_identity import this_process
with run_locks.hold(Database(sys.argv[1]), sys.argv[2]):
    print(this_process().as_text(), flush=True)
    sys.stdin.read()
"""
NO_CODE_SERVER = {GRPC_INFO_TAG: '{"host": "localhost", "socket": "/nowhere/at-all"}'}


@pytest.fixture
def config() -> dict[str, object]:
    """The project's own dagster.yaml, without its storage."""
    read = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    return {name: read[name] for name in ("run_coordinator", "concurrency", "run_retries")}


@pytest.fixture
def instance(config: dict[str, object]) -> Iterator[dg.DagsterInstance]:
    with persistent_instance(config) as instance:
        yield instance


@pytest.fixture
def start_worker(database: Database) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    workers: list[subprocess.Popen[str]] = []

    def start(run_id: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORKER, database.url, run_id]
        workers.append(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT
            )
        )
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()
        worker.communicate()


def claim(run_id: str, identity: ProcessIdentity) -> dict[str, str]:
    return {WORKER_TAG: f"{run_id} {identity.as_text()}"}


def status(instance: dg.DagsterInstance, run_id: str) -> DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_is_closed_once_its_process_was_killed_and_will_be_retried(
    instance, database, add_run: AddRun, start_worker
) -> None:
    run_id = add_run(DagsterRunStatus.STARTED, {})
    worker = start_worker(run_id)
    identity = ProcessIdentity.parse(worker.stdout.readline())
    assert identity is not None
    instance.add_run_tags(run_id, claim(run_id, identity))
    assert fail_abandoned_runs(instance, database) == ([], {})
    worker.kill()
    worker.wait()
    assert fail_abandoned_runs(instance, database) == ([run_id], {})
    assert status(instance, run_id) is DagsterRunStatus.FAILURE
    run = instance.get_run_by_id(run_id)
    assert run.tags["dagster/failure_reason"] == "UNEXPECTED_TERMINATION"
    assert run.tags[WILL_RETRY_TAG] == "true"
    assert fail_abandoned_runs(instance, database) == ([], {}), "once"


def test_a_process_id_that_was_used_again_is_another_process(instance, database, add_run) -> None:
    run_id = add_run(DagsterRunStatus.STARTED, {}, "11111111-1111-1111-1111-111111111111")
    instance.add_run_tags(run_id, claim(run_id, replace(this_process(), started="1")))
    assert fail_abandoned_runs(instance, database)[0] == [run_id]


def test_a_run_before_the_machine_was_started_anew_is_closed(instance, database, add_run) -> None:
    run_id = add_run(DagsterRunStatus.CANCELING, {})
    here = this_process()
    before = replace(here, machine=replace(here.machine, boot="another-boot"))
    instance.add_run_tags(run_id, claim(run_id, before))
    assert fail_abandoned_runs(instance, database)[0] == [run_id]
    assert status(instance, run_id) is DagsterRunStatus.CANCELED


def test_a_run_of_another_machine_is_judged_by_its_lock(instance, database, add_run) -> None:
    run_id = add_run(DagsterRunStatus.STARTED, {})
    here = this_process()
    elsewhere = replace(here, machine=replace(here.machine, host="another-host"))
    instance.add_run_tags(run_id, claim(run_id, elsewhere))
    with run_locks.hold(database, run_id):
        assert fail_abandoned_runs(instance, database, launching=False, now=NOW) == ([], {})
    closed, waiting = fail_abandoned_runs(instance, database, launching=False, now=NOW)
    assert (closed, waiting) == ([], {run_id: NOW}), "its session may be coming back"
    soon = NOW + UNSEEN_FOR - timedelta(seconds=1)
    closed, waiting = fail_abandoned_runs(instance, database, first_seen=waiting, now=soon)
    assert (closed, waiting) == ([], {run_id: NOW})
    late = NOW + UNSEEN_FOR
    assert fail_abandoned_runs(instance, database, first_seen=waiting, now=late)[0] == [run_id]


def test_a_retry_is_not_taken_for_the_run_whose_tags_it_copied(instance, database, add_run) -> None:
    first = add_run(DagsterRunStatus.FAILURE, {})
    dead = claim(first, replace(this_process(), started="1"))
    retry = add_run(DagsterRunStatus.STARTED, dead)
    assert fail_abandoned_runs(instance, database, now=NOW) == ([], {retry: NOW})


def test_what_a_daemon_may_just_be_starting_is_given_time(instance, database, add_run) -> None:
    run_id = add_run(DagsterRunStatus.STARTING, NO_CODE_SERVER)
    waits = add_run(DagsterRunStatus.QUEUED, {})
    assert fail_abandoned_runs(instance, database, now=NOW) == ([], {run_id: NOW})
    # With no daemon, as at the start of `up`, nobody is starting it.
    assert fail_abandoned_runs(instance, database, launching=False)[0] == [run_id]
    assert status(instance, waits) is DagsterRunStatus.QUEUED


def test_a_run_that_waits_for_a_pod_or_a_free_worker_is_left_to_dagster(
    instance, database, add_run
) -> None:
    run_id = add_run(DagsterRunStatus.STARTING, {"dagster-celery/task_id": "1"})
    seen = {run_id: NOW}
    later = NOW + 2 * UNSEEN_FOR
    assert fail_abandoned_runs(instance, database, first_seen=seen, now=later) == ([], {})
    assert status(instance, run_id) is DagsterRunStatus.STARTING


def test_a_run_that_an_orderly_stop_interrupted_is_queued_again(
    instance, database, add_run, start_worker
) -> None:
    gone = add_run(DagsterRunStatus.STARTED, NO_CODE_SERVER)
    instance.add_run_tags(gone, claim(gone, replace(this_process(), started="1")))
    of_a_command = add_run(DagsterRunStatus.STARTED, {})
    instance.add_run_tags(of_a_command, claim(of_a_command, this_process()))
    assert requeue_interrupted_runs(instance) == [gone]
    assert status(instance, gone) is DagsterRunStatus.QUEUED
    assert status(instance, of_a_command) is DagsterRunStatus.STARTED


def test_a_retry_that_dagster_has_passed_over_is_asked_for_once_more(
    instance, add_run: AddRun, monkeypatch
) -> None:
    retried: list[str] = []
    monkeypatch.setattr(
        auto_run_reexecution, "retry_run", lambda run, _: retried.append(run.run_id)
    )
    look = EventLogConsumerDaemon()

    def dagster_looks() -> None:
        list(look.run_iteration(SimpleNamespace(instance=instance)))

    dagster_looks()
    run_id = add_run(DagsterRunStatus.STARTED, {})
    run = instance.get_run_by_id(run_id)
    status_of_run = instance.run_storage.handle_run_event

    def look_between(*arguments: object, **more: object) -> None:
        dagster_looks()
        status_of_run(*arguments, **more)

    failure = JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
    with monkeypatch.context() as patch:
        patch.setattr(instance.run_storage, "handle_run_event", look_between)
        instance.report_run_failed(run, PROCESS_GONE, failure)
    dagster_looks()
    assert instance.get_run_by_id(run_id).tags[WILL_RETRY_TAG] == "true"
    assert retried == [], "its event was passed over: it will not be retried"

    now = datetime.now(UTC)
    assert retry_forgotten_runs(instance, now) == [], "Dagster is given time"
    assert retry_forgotten_runs(instance, now + 2 * RETRIED_WITHIN) == [run_id]
    dagster_looks()
    assert retried == [run_id]
    assert retry_forgotten_runs(instance, now + 2 * RETRIED_WITHIN) == [], "once"


def test_the_sensor_remembers_since_when(instance, database, add_run) -> None:
    run_id = add_run(DagsterRunStatus.STARTED, {})
    resources = {"database": GivenDatabase(url=database.url)}

    def tick(cursor: str | None) -> dg.SensorExecutionData:
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, resources=resources
        ) as context:
            return close_abandoned_runs.evaluate_tick(context)

    first = tick(None)
    assert run_id in (first.cursor or "")
    assert tick(first.cursor).cursor == first.cursor
    long_ago = (first.cursor or "").replace(str(datetime.now(UTC).year), "2020")
    closed = tick(long_ago)
    assert run_id in (closed.skip_message or "")
    assert status(instance, run_id) is DagsterRunStatus.FAILURE
    assert close_abandoned_runs.default_status is dg.DefaultSensorStatus.RUNNING


def until(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_run_holds_its_lock_while_it_lives_also_after_its_session_was_cut(
    database, monkeypatch
) -> None:
    monkeypatch.setattr(run_locks, "_LOOKS_EVERY_SECONDS", 0.1)

    def holders() -> list[int]:
        with database.connect() as connection:
            rows = connection.execute(
                "select pid from pg_locks where locktype = 'advisory' and granted"
                " and database = (select oid from pg_database where datname = current_database())"
            )
            return [row["pid"] for row in rows]

    with run_locks.hold(database, "some-run"):
        (cut,) = holders()
        assert run_locks.held(database, ["some-run", "another"]) == {"some-run"}
        with database.connect() as connection:
            connection.execute("select pg_terminate_backend(%s)", [cut])
        until("another session takes the lock", lambda: holders() not in ([], [cut]))
        assert run_locks.held(database, ["some-run", "another"]) == {"some-run"}
    # Postgres ends a closed session when it gets to it.
    until("it is held by nobody", lambda: not run_locks.held(database, ["some-run"]))


@pytest.mark.parametrize(
    ("job", "tags", "expected"),
    [
        ("refresh_insights", {REFRESH_TAG: "today"}, {LANE_TAG: "today", PRIORITY_TAG: "20"}),
        ("refresh_insights", {REFRESH_TAG: "recent"}, {LANE_TAG: "other", PRIORITY_TAG: "10"}),
        ("sync", {REFRESH_TAG: "gaps"}, {LANE_TAG: "other", PRIORITY_TAG: "-10"}),
        ("__ASSET_JOB", {}, {LANE_TAG: "other", PRIORITY_TAG: "0"}),
        ("__ASSET_JOB", {"dagster/backfill": "b"}, {LANE_TAG: "other", PRIORITY_TAG: "-10"}),
        ("sync", {"dagster/backfill": "b", PRIORITY_TAG: "30"}, {LANE_TAG: "other"}),
        ("credentials", {}, {PRIORITY_TAG: "0"}),
    ],
)
def test_lanes_and_priorities(job: str, tags: dict[str, str], expected: dict[str, str]) -> None:
    assert queue_tags(job, tags) == expected


def test_two_backfills_and_commands_leave_today_its_place(instance, add_run) -> None:
    assert isinstance(instance.run_coordinator, LaneRunCoordinator)
    backfill = queue_tags("sync", {"dagster/backfill": "b"})
    for _ in range(4):  # two from the queue, two commands beside it
        add_run(DagsterRunStatus.STARTED, backfill)
    waiting = [add_run(DagsterRunStatus.QUEUED, backfill) for _ in range(3)]
    today = [
        add_run(DagsterRunStatus.QUEUED, queue_tags("refresh", {REFRESH_TAG: "today"}))
        for _ in range(2)
    ]
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    launched = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
    assert [run.run_id for run in launched] == today[:1]
    assert waiting
