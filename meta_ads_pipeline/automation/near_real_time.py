"""Near real time: today is refreshed without pause, by a sensor in place of the schedule."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from meta_ads_pipeline.automation.default_status import sensor_status
from meta_ads_pipeline.automation.jobs import refresh_job
from meta_ads_pipeline.automation.runs import unfinished_run
from meta_ads_pipeline.automation.schedules import known_accounts, plan_today
from meta_ads_pipeline.automation.windows import range_tags
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.run_tags import REFRESH_TAG, REFRESH_TODAY
from meta_ads_pipeline.settings import Settings, get_settings

AGAIN_AFTER = timedelta(minutes=5)
"""After a refresh that failed."""


@dg.sensor(
    job=refresh_job,
    minimum_interval_seconds=5,
    default_status=sensor_status(get_settings()),
    description="Today's numbers again as soon as the refresh before is over "
    "(PERFORMANCE_SYNC_INTERVAL_MINUTES=0).",
)
def refresh_today_without_pause(
    context: dg.SensorEvaluationContext, database: DatabaseResource, meta: MetaAdsResource
) -> dg.RunRequest | dg.SkipReason:
    """One run at a time; five minutes after one that failed."""
    unfinished = unfinished_run(context.instance, REFRESH_TODAY)
    if unfinished is not None:
        return dg.SkipReason(f"run {unfinished} of the same kind is not over yet")
    now = datetime.now(UTC)
    failed = _failed_since(context.instance, now - AGAIN_AFTER)
    if failed is not None:
        return dg.SkipReason(f"run {failed} failed less than five minutes ago")
    planned = plan_today(database.database, known_accounts(database, meta), now)
    return dg.RunRequest(
        run_key=f"refresh_today:{now.isoformat()}",
        tags=range_tags(planned.window, REFRESH_TODAY),
    )


def _failed_since(instance: dg.DagsterInstance, since: datetime) -> str | None:
    """The last refresh of today if it failed, and ended at or after ``since`` (aware)."""
    records = instance.get_run_records(
        filters=dg.RunsFilter(tags={REFRESH_TAG: REFRESH_TODAY}), limit=1
    )
    for record in records:
        ended = record.end_time or record.update_timestamp.timestamp()
        if record.dagster_run.is_failure and ended >= since.timestamp():
            return record.dagster_run.run_id
    return None


def near_real_time_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensor where the settings ask for it."""
    return [refresh_today_without_pause] if settings.is_near_real_time else []
