"""The schedules. Each tick asks for one run over a range of dates, never for one run a day.

Windows follow the accounts' timezones, whatever the hour in UTC.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import dagster as dg

from meta_ads_pipeline.automation.catch_up import first_open_dates
from meta_ads_pipeline.automation.default_status import schedule_status
from meta_ads_pipeline.automation.jobs import entities_job, reach_job, refresh_job
from meta_ads_pipeline.automation.reach import REACH_CRON, accounts_due_for_reach
from meta_ads_pipeline.automation.runs import unfinished_run
from meta_ads_pipeline.automation.windows import (
    cron_for,
    is_due,
    range_tags,
    reach_window,
    recent_cron,
    recent_window,
    today_window,
)
from meta_ads_pipeline.control.accounts import Account, active_accounts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.run_tags import (
    ACCOUNTS_TAG,
    REFRESH_ALL_ENTITIES,
    REFRESH_ENTITIES,
    REFRESH_REACH,
    REFRESH_RECENT,
    REFRESH_TODAY,
)
from meta_ads_pipeline.settings import Settings, get_settings
from meta_ads_pipeline.windows import DateWindow


@dataclass(frozen=True)
class Refresh:
    """What a tick asks for. ``account_ids`` limits the run to some accounts; empty: all active."""

    window: DateWindow
    account_ids: tuple[str, ...] = ()


ALL_ENTITIES_CRON = "40 3 * * 0"
"""Sundays, between the refreshes of the last 28 days."""

Plan: TypeAlias = Callable[[Database, Sequence[Account], datetime], Refresh | dg.SkipReason]
"""What to refresh at a tick (UTC), given the active accounts."""


def refresh_schedule(
    name: str,
    kind: str,
    *,
    job_name: str,
    cron: str,
    plan: Plan,
    description: str,
    every: timedelta,
    status: dg.DefaultScheduleStatus,
) -> dg.ScheduleDefinition:
    """A schedule that asks for one run of what ``plan`` says, unless the last one is not over.

    ``every`` is the time between two ticks that are due. After an outage Dagster evaluates the
    latest missed ticks: of these only the last asks, for everything.
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
        if tick + every <= present():
            return dg.SkipReason("missed; the latest tick covers what is open since then")
        unfinished = unfinished_run(context.instance, kind)
        if unfinished is not None:
            return dg.SkipReason(f"run {unfinished} of the same kind is not over yet")
        planned = plan(database.database, known_accounts(database, meta), tick)
        if isinstance(planned, dg.SkipReason):
            return planned
        tags = {**range_tags(planned.window, kind)}
        if planned.account_ids:
            tags[ACCOUNTS_TAG] = ",".join(planned.account_ids)
        return dg.RunRequest(run_key=f"{name}:{tick.isoformat()}", tags=tags)

    return refresh


def present() -> datetime:
    """The time (UTC); tests set another."""
    return datetime.now(UTC)


def known_accounts(database: DatabaseResource, meta: MetaAdsResource) -> list[Account]:
    """The active accounts that syncs read; none before the first sync."""
    chosen = set(meta.account_ids)
    accounts = active_accounts(database.database)
    return [a for a in accounts if not chosen or a.account_id in chosen]


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The schedules with the intervals of ``settings``, on or off as it says."""
    status = schedule_status(settings)
    schedules = [
        refresh_schedule(
            "refresh_recent_28_days",
            REFRESH_RECENT,
            job_name=refresh_job.name,
            cron=recent_cron(settings.recent_refreshes_per_day),
            plan=plan_recent,
            every=timedelta(hours=24 // settings.recent_refreshes_per_day),
            status=status,
            description="The days that Meta may still restate, in one run "
            "(META_ADS_RECENT_REFRESHES_PER_DAY times a day).",
        ),
        refresh_schedule(
            "refresh_entities",
            REFRESH_ENTITIES,
            job_name=entities_job.name,
            cron=cron_for(settings.sync_interval_minutes),
            plan=_every(settings.sync_interval_minutes, plan_entities),
            every=timedelta(minutes=settings.sync_interval_minutes),
            status=status,
            description="Names, statuses and budgets (every META_SYNC_INTERVAL_MINUTES).",
        ),
        refresh_schedule(
            "refresh_all_entities",
            REFRESH_ALL_ENTITIES,
            job_name=entities_job.name,
            cron=ALL_ENTITIES_CRON,
            plan=plan_entities,
            every=timedelta(days=7),
            status=status,
            description="Every entity that was ever seen, once a week: those that lists leave out, "
            "deleted ones too, are read by id.",
        ),
    ]
    if not settings.is_near_real_time:
        schedules.append(
            refresh_schedule(
                "refresh_today",
                REFRESH_TODAY,
                job_name=refresh_job.name,
                cron=cron_for(settings.performance_sync_interval_minutes),
                plan=_every(settings.performance_sync_interval_minutes, plan_today),
                every=timedelta(minutes=settings.performance_sync_interval_minutes),
                status=status,
                description="Today's numbers, yesterday's until they are closed, what an outage "
                "has left open (every PERFORMANCE_SYNC_INTERVAL_MINUTES).",
            )
        )
    if settings.reach:
        schedules.append(
            refresh_schedule(
                "refresh_reach",
                REFRESH_REACH,
                job_name=reach_job.name,
                cron=REACH_CRON,
                plan=plan_reach,
                every=timedelta(hours=1),
                status=status,
                description="Reach, frequency and unique counts of yesterday every morning, and "
                "after a Sunday of the weeks before it.",
            )
        )
    return schedules


def plan_reach(
    database: Database, accounts: Sequence[Account], tick: datetime
) -> Refresh | dg.SkipReason:
    """The accounts whose yesterday was not asked for this morning."""
    due = accounts_due_for_reach(database, accounts, tick)
    if not due:
        return dg.SkipReason("yesterday's reach of every account was requested this morning")
    return Refresh(reach_window(due, tick), tuple(account.account_id for account in due))


def plan_today(database: Database, accounts: Sequence[Account], tick: datetime) -> Refresh:
    """Today, yesterday while its last hours come in, and before it what an outage left open."""
    window = today_window(accounts, tick)
    first_open = first_open_dates(database, accounts, tick)
    return Refresh(DateWindow(min([window.start, *first_open.values()]), window.end))


def plan_recent(_: Database, accounts: Sequence[Account], tick: datetime) -> Refresh:
    """The days that Meta may still restate."""
    return Refresh(recent_window(accounts, tick))


def plan_entities(_: Database, accounts: Sequence[Account], tick: datetime) -> Refresh:
    """Today, which stands for the present state of entities."""
    return Refresh(today_window(accounts, tick))


def _every(minutes: int, plan: Plan) -> Plan:
    """Of the ticks of a cron line those that are multiples of ``minutes``."""

    def plan_if_due(
        database: Database, accounts: Sequence[Account], tick: datetime
    ) -> Refresh | dg.SkipReason:
        if not is_due(tick, minutes):
            return dg.SkipReason(f"not a multiple of {minutes} minutes")
        return plan(database, accounts, tick)

    return plan_if_due


schedules = build_schedules(get_settings())
