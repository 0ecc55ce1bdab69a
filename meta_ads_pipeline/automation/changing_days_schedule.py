"""The schedule that reads past days again between two daily refreshes, where that is worth it."""

import dagster as dg

from meta_ads_pipeline.automation.changing_days import plan_pass
from meta_ads_pipeline.automation.jobs import changing_days_job
from meta_ads_pipeline.automation.runs import unfinished_run
from meta_ads_pipeline.automation.schedules import known_accounts
from meta_ads_pipeline.automation.windows import range_tags
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from meta_ads_pipeline.raw.assets import ACCOUNTS_TAG, SYNC_TAG
from meta_ads_pipeline.raw.context import REFRESH_CHANGING, REFRESH_RECENT
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.settings import Settings, get_settings

CHANGING_CRON = "50 * * * *"
"""Hourly. Most ticks find nothing that is worth a call yet, and cost none."""


def budget_rules(settings: Settings) -> BudgetRules:
    """The bounds of the settings."""
    return BudgetRules(
        ceiling_percent=settings.budget_ceiling_percent, calls_per_hour=settings.calls_per_hour
    )


@dg.schedule(
    name="refresh_changing_days",
    job=changing_days_job,
    cron_schedule=CHANGING_CRON,
    execution_timezone="UTC",
    default_status=(
        dg.DefaultScheduleStatus.RUNNING
        if get_settings().schedules_on
        else dg.DefaultScheduleStatus.STOPPED
    ),
    description="Past days that are expected to have changed enough since they were last pulled, "
    "as far as the call budget has room.",
)
def refresh_changing_days(
    context: dg.ScheduleEvaluationContext, database: DatabaseResource, meta: MetaAdsResource
) -> dg.RunRequest | dg.SkipReason:
    """One run over the chosen days; the pulls leave the others of its range alone."""
    for kind in (REFRESH_CHANGING, REFRESH_RECENT):
        unfinished = unfinished_run(context.instance, kind)
        if unfinished is not None:
            return dg.SkipReason(f"run {unfinished} ({kind}) is not over yet")
    tick = context.scheduled_execution_time
    accounts = known_accounts(database, meta)
    decided = plan_pass(database.database, accounts, tick, budget_rules(get_settings()))
    if decided.window is None:
        return dg.SkipReason(decided.summary())
    return dg.RunRequest(
        run_key=f"refresh_changing_days:{decided.pass_id}",
        tags={
            **range_tags(decided.window, REFRESH_CHANGING),
            ACCOUNTS_TAG: ",".join(decided.chosen),
            SYNC_TAG: decided.pass_id,
        },
    )


changing_days_schedules = [refresh_changing_days]
