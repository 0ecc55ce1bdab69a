"""The schedule that looks after connections: validate, renew tokens ahead of their end, alert."""

from datetime import UTC, datetime

import dagster as dg

from meta_ads_pipeline.meta_api.token_refresh import RenewalOutcome, refresh_due_connections
from meta_ads_pipeline.resources import DatabaseResource
from meta_ads_pipeline.settings import get_settings

CREDENTIALS_CRON = "43 * * * *"
"""Hourly. Each connection is asked about once a day; the rest of the ticks cost no call."""


@dg.op
def look_after_connections(context: dg.OpExecutionContext, database: DatabaseResource) -> None:
    """Give every connection its turn; what a person must do becomes an alert, not a failed run."""
    for report in refresh_due_connections(database.database, get_settings(), datetime.now(UTC)):
        log = context.log.error if report.outcome is RenewalOutcome.FAILED else context.log.info
        log(f"{report.connection.subject}: {report.outcome}: {report.message}")


@dg.job(description="Validate connections, renew their tokens ahead of time, raise alerts.")
def credentials() -> None:
    """The only op."""
    look_after_connections()


credential_schedules = [
    dg.ScheduleDefinition(
        name="credentials_hourly",
        job=credentials,
        cron_schedule=CREDENTIALS_CRON,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
]
