"""The schedule of reach, frequency and unique counts: once a day, in each account's morning."""

from datetime import datetime, timedelta

import dagster as dg

from meta_ads_pipeline.automation.jobs import reach_job
from meta_ads_pipeline.automation.runs import unfinished_run
from meta_ads_pipeline.automation.schedules import known_accounts
from meta_ads_pipeline.automation.windows import range_tags, reach_is_due, reach_window
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.gaps import REACH
from meta_ads_pipeline.raw.assets import ACCOUNTS_TAG
from meta_ads_pipeline.raw.context import REFRESH_REACH
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.settings import get_settings
from meta_ads_pipeline.windows import local_today

REACH_CRON = "40 * * * *"
"""A look at every hour; each account is asked for once a day, when it is morning there."""


@dg.schedule(
    name="refresh_reach",
    job=reach_job,
    cron_schedule=REACH_CRON,
    execution_timezone="UTC",
    default_status=(
        dg.DefaultScheduleStatus.RUNNING
        if get_settings().schedules_on
        else dg.DefaultScheduleStatus.STOPPED
    ),
    description="Reach, frequency and unique counts of yesterday every morning, and after a "
    "Sunday of the weeks before it.",
)
def refresh_reach(
    context: dg.ScheduleEvaluationContext, database: DatabaseResource, meta: MetaAdsResource
) -> dg.RunRequest | dg.SkipReason:
    """One run for the accounts whose yesterday was not asked for this morning."""
    unfinished = unfinished_run(context.instance, REFRESH_REACH)
    if unfinished is not None:
        return dg.SkipReason(f"run {unfinished} of the same kind is not over yet")
    tick = context.scheduled_execution_time
    accounts = [
        account
        for account in known_accounts(database, meta)
        if reach_is_due(account, last_try(database.database, account, tick), tick)
    ]
    if not accounts:
        return dg.SkipReason("no account whose reach of yesterday was not asked for this morning")
    return dg.RunRequest(
        run_key=f"refresh_reach:{tick.isoformat()}",
        tags={
            **range_tags(reach_window(accounts, tick), REFRESH_REACH),
            ACCOUNTS_TAG: ",".join(account.account_id for account in accounts),
        },
    )


def last_try(database: Database, account: Account, now: datetime) -> datetime | None:
    """When a pull of reach of the account's yesterday was last begun (UTC)."""
    yesterday = local_today(account.timezone, now) - timedelta(days=1)
    with database.connect() as connection:
        row = connection.execute(
            "select started_at from control.slices"
            " where account_id = %s and partition_date = %s and asset = %s",
            [account.account_id, yesterday, REACH],
        ).fetchone()
    return None if row is None else row["started_at"]


reach_schedules = [refresh_reach] if get_settings().reach else []
