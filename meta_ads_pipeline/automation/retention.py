"""The daily job that keeps retentions: rows, Dagster's records, files. No call to Meta."""

from datetime import UTC, datetime

import dagster as dg

from meta_ads_pipeline.resources import DatabaseResource
from meta_ads_pipeline.retention.keep import keep_retentions
from meta_ads_pipeline.settings import get_settings

RETENTION_CRON = "17 3 * * *"


@dg.op
def keep_retention(context: dg.OpExecutionContext, database: DatabaseResource) -> None:
    """Delete what is older than its retention; fails in the end where a part could not be kept."""
    kept = keep_retentions(database.database, context.instance, get_settings(), datetime.now(UTC))
    context.add_output_metadata({each.what: each.error or each.deleted for each in kept})
    failed = [f"{each.what}: {each.error}" for each in kept if each.error]
    if failed:
        raise dg.Failure("; ".join(failed), allow_retries=False)


@dg.job(description="Delete rows, records of runs and logs that are older than their retention.")
def retention() -> None:
    """The only op."""
    keep_retention()


@dg.schedule(
    name="retention_daily",
    job=retention,
    cron_schedule=RETENTION_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Keeps the retentions of docs/retention.md. On by default: it calls nobody, and "
    "without it the records of runs fill the disk.",
)
def retention_daily(_context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run a day."""
    return dg.RunRequest()


retention_schedules = [retention_daily]
