"""The schedule that looks after connections: validate, renew tokens ahead of their end, alert.

It has the webhooks of new ad accounts subscribed to, too.
"""

from datetime import UTC, datetime

import dagster as dg

from meta_ads_pipeline.credentials.checks import connections_in_use
from meta_ads_pipeline.credentials.renewal import RenewalOutcome, refresh_due_connections
from meta_ads_pipeline.credentials.webhook_accounts import subscribe_new_accounts
from meta_ads_pipeline.resources import DatabaseResource
from meta_ads_pipeline.settings import get_settings

CREDENTIALS_CRON = "43 * * * *"
"""Hourly. Each connection is asked about once a day; the rest of the ticks cost no call."""


@dg.op
def look_after_connections(context: dg.OpExecutionContext, database: DatabaseResource) -> None:
    """Give every connection its turn; what a person must do becomes an alert, not a failed run."""
    now, settings = datetime.now(UTC), get_settings()
    for report in refresh_due_connections(database.database, settings, now):
        log = context.log.error if report.outcome is RenewalOutcome.FAILED else context.log.info
        log(f"{report.connection.subject}: {report.outcome}: {report.message}")
    for account_id in subscribe_new_accounts(database.database, settings, now):
        context.log.info(f"act_{account_id}: subscribed to webhooks")


@dg.job(description="Validate connections, renew their tokens ahead of time, raise alerts.")
def credentials() -> None:
    """The only op."""
    look_after_connections()


@dg.schedule(
    name="credentials_hourly",
    job=credentials,
    cron_schedule=CREDENTIALS_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks after connections: validates each once a day, renews tokens before they "
    "end, raises alerts. On by default, unlike the schedules that pull data: it costs about three "
    "calls a day for each connection, and a token that ends unnoticed cannot be renewed any more. "
    "Without a connection a tick does nothing.",
)
def credentials_hourly(
    _context: dg.ScheduleEvaluationContext, database: DatabaseResource
) -> dg.RunRequest | dg.SkipReason:
    """One run for all connections; none where there is no connection."""
    if not connections_in_use(database.database, get_settings()):
        return dg.SkipReason("there is no connection (`meta-ads connect`)")
    return dg.RunRequest()


credential_schedules = [credentials_hourly]
