"""The sensors: retry what failed, fill what is missing, and say so when a run fails."""

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from meta_ads_pipeline.automation.abandoned_runs import fail_abandoned_runs, retry_forgotten_runs
from meta_ads_pipeline.automation.default_status import sensor_status
from meta_ads_pipeline.automation.jobs import reach_job, sync_job
from meta_ads_pipeline.automation.retries import OpenSlice, RetryPlan, next_retry
from meta_ads_pipeline.automation.runs import (
    free_run_key,
    overlapping_run,
    unfinished_run,
    unfinished_run_ids,
)
from meta_ads_pipeline.automation.slice_alerts import update_slice_alerts
from meta_ads_pipeline.automation.windows import range_tags
from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.gaps import REACH, find_gaps, next_batch
from meta_ads_pipeline.control.syncs import open_gap_sync
from meta_ads_pipeline.redaction import redact
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.run_tags import ACCOUNTS_TAG, BACKFILL, RETRY, SYNC_TAG
from meta_ads_pipeline.settings import get_settings
from meta_ads_pipeline.sql_files import SqlFolder
from meta_ads_pipeline.windows import DateWindow

sql = SqlFolder(__file__)

alerts = logging.getLogger("meta_ads_pipeline.alerts")
"""What a person should see; attach a handler to have it sent somewhere."""

_JOBS = [sync_job, *([reach_job] if get_settings().reach else [])]

GAP_ACCOUNT_DAYS = 60
"""Account-days that one backfill of gaps asks for at most: a batch that fits into any budget."""


def open_slices(database: Database, only: Sequence[str] = ()) -> list[OpenSlice]:
    """The slices of active accounts that are not done; ``only`` limits them to some accounts.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    columns = ", ".join(f"s.{name}" for name in sorted(_STORED))
    with database.connect() as connection:
        rows = connection.execute(
            sql(
                "open_slices",
                columns=columns,
                is_held=slices.IS_HELD,
            ),
            {"only": list(only), "reach": REACH, "has_reach": get_settings().reach},
        ).fetchall()
    return [OpenSlice(**row) for row in rows]


_STORED = frozenset(OpenSlice.__dataclass_fields__) - {"is_held", "next_attempt_at"}


def retry_request(plan: RetryPlan, run_key: str) -> dg.RunRequest:
    """One run over the plan's dates, for its accounts, within the sync that they failed in.

    Where only reach is missing, nothing else is pulled.
    """
    job = reach_job if {s.asset for s in plan.slices} == {REACH} else sync_job
    tags = {**range_tags(plan.window, RETRY), ACCOUNTS_TAG: ",".join(plan.account_ids)}
    if plan.sync_id is not None:
        tags[SYNC_TAG] = plan.sync_id
    return dg.RunRequest(run_key=run_key, tags=tags, job_name=job.name)


@dg.sensor(
    jobs=_JOBS,
    minimum_interval_seconds=60,
    default_status=sensor_status(get_settings()),
    description="Tries failed, parked and mismatched slices again, with a growing delay.",
)
def retry_failed_slices(
    context: dg.SensorEvaluationContext, database: DatabaseResource, meta: MetaAdsResource
) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run at a time, of the failures of one sync, limited to the failing accounts."""
    unfinished = unfinished_run(context.instance, RETRY)
    if unfinished is not None:
        return dg.SkipReason(f"retry run {unfinished} is not over yet")
    now = datetime.now(UTC)
    unfinished_slices = open_slices(database.database, meta.account_ids)
    update_slice_alerts(database.database, unfinished_slices, now)
    plan = next_retry(unfinished_slices, now, unfinished_run_ids(context.instance))
    if plan is None:
        return dg.SkipReason("no slice is due")
    return retry_request(plan, free_run_key(context.instance, plan.run_key(now)))


@dg.sensor(
    jobs=_JOBS,
    minimum_interval_seconds=900,
    default_status=sensor_status(get_settings()),
    description="Requests dates inside the history that were never pulled, newest first; of a new "
    "ad account those of META_ADS_NEW_ACCOUNT_DAYS, too.",
)
def backfill_gaps(
    context: dg.SensorEvaluationContext, database: DatabaseResource, meta: MetaAdsResource
) -> dg.RunRequest | dg.SkipReason:
    """One bounded run at a time. What is done is not fetched again, whatever the window covers."""
    now = datetime.now(UTC)
    unfinished = unfinished_run(context.instance, BACKFILL)
    if unfinished is not None:
        return dg.SkipReason(f"backfill run {unfinished} is not over yet")
    settings = get_settings()
    gaps = find_gaps(
        database.database,
        now,
        meta.account_ids,
        with_reach=settings.reach,
        new_account_days=settings.new_account_days or None,
    )
    job = sync_job
    batch = next_batch([gap for gap in gaps if gap.asset != REACH], GAP_ACCOUNT_DAYS)
    if batch is None:
        job, batch = reach_job, next_batch(gaps, GAP_ACCOUNT_DAYS)
    if batch is None:
        return dg.SkipReason("no gap inside the history")
    window = DateWindow(batch.start, batch.end)
    at_it = overlapping_run(context.instance, window)
    if at_it is not None:
        return dg.SkipReason(f"run {at_it} is at work on some of {window.start}..{window.end}")
    accounts = ",".join(batch.account_ids)
    return dg.RunRequest(
        # Once a day for the same gap: one that cannot be filled is not asked for every tick.
        run_key=free_run_key(
            context.instance,
            f"gap:{job.name}:{now.date()}:{window.start}:{window.end}:{accounts}",
        ),
        job_name=job.name,
        tags={
            **range_tags(window, BACKFILL),
            ACCOUNTS_TAG: accounts,
            SYNC_TAG: open_gap_sync(database.database, window.start, window.end, batch.account_ids),
        },
    )


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Closes runs whose process is gone, so that nothing waits for them. Always on.",
)
def close_abandoned_runs(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> dg.SensorResult:
    """The cursor keeps since when runs of other machines were seen without a sign of life."""
    seen = {run_id: datetime.fromisoformat(at) for run_id, at in _cursor(context).items()}
    closed, waiting = fail_abandoned_runs(context.instance, database.database, first_seen=seen)
    said = f"closed {', '.join(closed)}" if closed else "every run in progress has its process"
    forgotten = retry_forgotten_runs(context.instance, datetime.now(UTC))
    if forgotten:
        said += f"; Dagster is asked once more to retry {', '.join(forgotten)}"
    return dg.SensorResult(
        skip_reason=said,
        cursor=json.dumps({run_id: at.isoformat() for run_id, at in waiting.items()}),
    )


def _cursor(context: dg.SensorEvaluationContext) -> dict[str, str]:
    stored: dict[str, str] = json.loads(context.cursor or "{}")
    return stored


def failure_alert(run: dg.DagsterRun, reason: str) -> str:
    """A failed run in one line without secrets: job, dates, accounts, why, where to look."""
    start = run.tags.get("dagster/asset_partition_range_start") or run.tags.get("dagster/partition")
    end = run.tags.get("dagster/asset_partition_range_end") or start
    dates = f" of {start}..{end}" if start else ""
    accounts = run.tags.get(ACCOUNTS_TAG)
    limited = f" for {accounts}" if accounts else ""
    why = " ".join(redact(reason).split())[:500]
    return f"run {run.run_id} of {run.job_name}{dates}{limited} failed: {why}"


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Logs every failed run, with what failed, to meta_ads_pipeline.alerts.",
)
def alert_on_run_failure(context: dg.RunFailureSensorContext) -> None:
    """Name the failed steps and their errors; the run's own message where no step failed."""
    reasons = [
        f"{event.step_key}: {cause_of(event)}" for event in context.get_step_failure_events()
    ]
    alerts.error(
        failure_alert(
            context.dagster_run, "; ".join(reasons) or context.failure_event.message or ""
        )
    )


def cause_of(event: dg.DagsterEvent) -> str:
    """Why a step failed: what it says to people, else the error at the bottom of the chain."""
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    if failure.error is None:
        return event.message or "no reason was recorded"
    error = failure.error
    while error.cause is not None:
        error = error.cause
    return error.message


sensors = [retry_failed_slices, backfill_gaps, close_abandoned_runs, alert_on_run_failure]
