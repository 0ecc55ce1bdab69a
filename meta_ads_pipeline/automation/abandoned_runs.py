"""Runs in progress whose process is gone: killed, out of memory, a power cut.

Dagster notices only workers whose code server is still there. Any other run would stay as started
for good, hold its place in the queue, and keep the next tick of its kind waiting.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.events import DagsterEvent, JobFailureData, RunFailureReason
from dagster._core.storage.tags import (
    AUTO_RETRY_RUN_ID_TAG,
    GRPC_INFO_TAG,
    PARENT_RUN_ID_TAG,
    WILL_RETRY_TAG,
)

from meta_ads_pipeline.control import run_locks
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.process_identity import ProcessIdentity
from meta_ads_pipeline.run_tags import RETRY_ASKED_TAG, WORKER_TAG

logger = logging.getLogger(__name__)

IN_PROGRESS = (
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)

UNSEEN_FOR = timedelta(seconds=60)
"""A process that cannot be seen from here is taken for gone when its lock was free for so long."""

RETRIED_WITHIN = timedelta(minutes=5)
"""Dagster's daemon looks every few seconds: what it has not retried by then it has forgotten."""
FORGOTTEN_FOR = timedelta(days=1)

_CODE_SERVER_SECONDS = 5

PROCESS_GONE = (
    "The process of this run is gone: killed, out of memory, or its machine was switched off. "
    "What had landed is kept. A scheduled or backfill run is started again by itself; "
    "`meta-ads sync` is resumed by the same command."
)
FORGOTTEN = "Dagster was to start this run again and has not. It is told once more that it failed."
INTERRUPTED = "Interrupted by the end of `meta-ads up`. The next start resumes the run."


def fail_abandoned_runs(
    instance: dg.DagsterInstance,
    database: Database,
    *,
    first_seen: Mapping[str, datetime] | None = None,
    launching: bool = True,
    now: datetime | None = None,
) -> tuple[list[str], dict[str, datetime]]:
    """Mark the runs as failed (those being cancelled: as cancelled) whose process is gone.

    A run whose process is on another machine, or has not said yet which one it is, is judged by
    its lock: ``first_seen`` says since when (aware) it was seen without. ``launching``: whether a
    daemon may be starting runs just now. Returns the ids of the runs that were closed, and the
    ``first_seen`` of those that may be soon. Dagster starts failed ones again, as ``run_retries``
    says.
    """
    at = now or datetime.now(UTC)
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=list(IN_PROGRESS)))
    held = run_locks.held(database, [run.run_id for run in runs]) if runs else set()
    closed: list[str] = []
    waiting: dict[str, datetime] = {}
    for run in runs:
        if run.run_id in held:
            continue
        gone = process_is_gone(run, launching=launching)
        if gone is None:
            since = (first_seen or {}).get(run.run_id, at)
            waiting[run.run_id] = since
            gone = at - since >= UNSEEN_FOR
        current = instance.get_run_by_id(run.run_id)
        if gone and current is not None and current.status in IN_PROGRESS:
            _close(instance, current)
            closed.append(run.run_id)
            waiting.pop(run.run_id, None)
    return closed, waiting


def retry_forgotten_runs(instance: dg.DagsterInstance, now: datetime) -> list[str]:
    """Have Dagster start what it has marked for a retry and passed over; returns the runs' ids.

    Dagster stores a failure's event before the run's status and its tag ``dagster/will_retry``. A
    look of the ``EVENT_LOG_CONSUMER`` between the two finds a run that has not failed, and goes on
    behind the event for good. Another event has it look again, which starts no second retry. Once
    a run. ``now`` is UTC.
    """
    records = instance.get_run_records(
        dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.FAILURE],
            tags={WILL_RETRY_TAG: "true"},
            updated_after=now - FORGOTTEN_FOR,
        )
    )
    asked = []
    for record in records:
        run, ended = record.dagster_run, record.end_time or now.timestamp()
        if AUTO_RETRY_RUN_ID_TAG in run.tags or run.tags.get(RETRY_ASKED_TAG) == run.run_id:
            continue
        if now.timestamp() - ended < RETRIED_WITHIN.total_seconds():
            continue
        if instance.get_runs_count(dg.RunsFilter(tags={PARENT_RUN_ID_TAG: run.run_id})):
            continue
        logger.warning("run %s of %s was to be retried and was not", run.run_id, run.job_name)
        instance.add_run_tags(run.run_id, {RETRY_ASKED_TAG: run.run_id})
        instance.report_run_failed(run, FORGOTTEN)
        asked.append(run.run_id)
    return asked


def process_is_gone(run: dg.DagsterRun, *, launching: bool) -> bool | None:
    """Whether the run's process is over; None where that cannot be seen from here, or not yet."""
    run_id, _, text = run.tags.get(WORKER_TAG, "").partition(" ")
    worker = ProcessIdentity.parse(text) if run_id == run.run_id else None
    if worker is not None:
        return worker.is_gone()
    if _is_known_to_its_code_server(run):
        return False
    if run.status is dg.DagsterRunStatus.STARTING and GRPC_INFO_TAG not in run.tags:
        # It waits for a pod, or for a worker to be free: Dagster's run_monitoring gives it up.
        return False
    return True if GRPC_INFO_TAG in run.tags and not launching else None


def requeue_interrupted_runs(instance: dg.DagsterInstance) -> list[str]:
    """Put the runs of stopped code servers back into the queue; returns their ids.

    For an orderly end: their processes must have been ended before. Under its own id a run does not
    fetch again what it has fetched.
    """
    requeued = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=list(IN_PROGRESS[:2]))):
        if GRPC_INFO_TAG in run.tags and process_is_gone(run, launching=False):
            instance.add_run_tags(run.run_id, {WORKER_TAG: ""})
            instance.report_engine_event(INTERRUPTED, run)
            instance.report_dagster_event(DagsterEvent.job_enqueue(run), run_id=run.run_id)
            requeued.append(run.run_id)
    return requeued


def _close(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    logger.warning("run %s of %s: its process is gone", run.run_id, run.job_name)
    if run.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, PROCESS_GONE)
        return
    instance.report_run_failed(
        run,
        PROCESS_GONE,
        JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION),
    )


def _is_known_to_its_code_server(run: dg.DagsterRun) -> bool:
    """Whether the code server that was to start the run has a process for it."""
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient
    from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
    from dagster._serdes import deserialize_value

    info = json.loads(run.tags.get(GRPC_INFO_TAG) or "{}")
    if not info:
        return False
    client = DagsterGrpcClient(
        host=info.get("host"),
        port=info.get("port"),
        socket=info.get("socket"),
        use_ssl=bool(info.get("use_ssl", False)),
    )
    try:
        answer = client.can_cancel_execution(
            CanCancelExecutionRequest(run_id=run.run_id), timeout=_CODE_SERVER_SECONDS
        )
    except DagsterUserCodeUnreachableError:
        return False
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel
