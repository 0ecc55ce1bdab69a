"""The schedules. Each tick asks for one run over a range of dates, never for one run a day.

They spend the call budget, so they are off until someone turns them on: in the UI, where the
choice is remembered, or for good with META_ADS_SCHEDULES_ON. Windows follow the accounts'
timezones, whatever the hour in UTC.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import dagster as dg

from meta_ads_pipeline.automation.jobs import entities_job, refresh_job
from meta_ads_pipeline.automation.runs import unfinished_run
from meta_ads_pipeline.automation.windows import (
    cron_for,
    is_due,
    range_tags,
    recent_cron,
    recent_window,
    today_window,
)
from meta_ads_pipeline.control.accounts import Account, active_accounts
from meta_ads_pipeline.raw.context import REFRESH_RECENT, REFRESH_TODAY
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.settings import Settings, get_settings
from meta_ads_pipeline.windows import DateWindow


def refresh_schedule(
    name: str,
    kind: str,
    *,
    job_name: str,
    cron: str,
    window: Callable[[Sequence[Account], datetime], DateWindow],
    description: str,
    status: dg.DefaultScheduleStatus,
    every_minutes: int | None = None,
) -> dg.ScheduleDefinition:
    """A schedule that refreshes ``window`` in one run, unless the last such run is not over.

    ``every_minutes`` picks from the ticks of ``cron`` those that are due.
    """

    @dg.schedule(
        name=name,
        job_name=job_name,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=status,
        description=description,
    )
    def refresh(
        context: dg.ScheduleEvaluationContext, database: DatabaseResource, meta: MetaAdsResource
    ) -> dg.RunRequest | dg.SkipReason:
        tick = context.scheduled_execution_time
        if every_minutes is not None and not is_due(tick, every_minutes):
            return dg.SkipReason(f"not a multiple of {every_minutes} minutes")
        unfinished = unfinished_run(context.instance, kind)
        if unfinished is not None:
            return dg.SkipReason(f"run {unfinished} of the same kind is not over yet")
        accounts = known_accounts(database, meta)
        return dg.RunRequest(
            run_key=f"{name}:{tick.isoformat()}", tags=range_tags(window(accounts, tick), kind)
        )

    return refresh


def known_accounts(database: DatabaseResource, meta: MetaAdsResource) -> list[Account]:
    """The active accounts that syncs read; none before the first sync."""
    chosen = set(meta.account_ids)
    accounts = active_accounts(database.database)
    return [a for a in accounts if not chosen or a.account_id in chosen]


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The schedules with the intervals of ``settings``, on or off as it says."""
    status = (
        dg.DefaultScheduleStatus.RUNNING
        if settings.schedules_on
        else dg.DefaultScheduleStatus.STOPPED
    )
    return [
        refresh_schedule(
            "refresh_today",
            REFRESH_TODAY,
            job_name=refresh_job.name,
            cron=cron_for(settings.performance_sync_interval_minutes),
            every_minutes=settings.performance_sync_interval_minutes,
            window=today_window,
            status=status,
            description="Today's numbers, and yesterday's until they are closed "
            "(every PERFORMANCE_SYNC_INTERVAL_MINUTES).",
        ),
        refresh_schedule(
            "refresh_recent_28_days",
            REFRESH_RECENT,
            job_name=refresh_job.name,
            cron=recent_cron(settings.recent_refreshes_per_day),
            window=recent_window,
            status=status,
            description="The days that Meta may still restate, in one run "
            "(META_ADS_RECENT_REFRESHES_PER_DAY times a day).",
        ),
        refresh_schedule(
            "refresh_entities",
            "entities",
            job_name=entities_job.name,
            cron=cron_for(settings.sync_interval_minutes),
            every_minutes=settings.sync_interval_minutes,
            window=today_window,
            status=status,
            description="Names, statuses and budgets (every META_SYNC_INTERVAL_MINUTES).",
        ),
    ]


schedules = build_schedules(get_settings())
