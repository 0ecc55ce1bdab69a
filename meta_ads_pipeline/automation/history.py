"""The sensor that rebuilds history after an edit of definitions, one month at a time."""

from __future__ import annotations

import dagster as dg

from meta_ads_pipeline.automation.default_status import sensor_status
from meta_ads_pipeline.automation.jobs import rebuild_job
from meta_ads_pipeline.automation.runs import unfinished_run
from meta_ads_pipeline.automation.windows import range_tags
from meta_ads_pipeline.resources import DatabaseResource
from meta_ads_pipeline.settings import get_settings
from meta_ads_pipeline.transform.history import definition_of, outdated_windows

REBUILD = "rebuild"


@dg.sensor(
    job=rebuild_job,
    minimum_interval_seconds=600,
    default_status=sensor_status(get_settings()),
    description="Rebuilds dates whose facts stand under an earlier definition (seeds, models, "
    "columns, goals of ad sets) from what is landed, newest month first.",
)
def outdated_history(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> dg.RunRequest | dg.SkipReason:
    """One run at a time; a month is asked for once per definition and state of its dates."""
    if unfinished_run(context.instance, REBUILD):
        return dg.SkipReason("A rebuild is running.")
    windows = outdated_windows(database.database)
    if not windows:
        context.update_cursor("")
        return dg.SkipReason("Every date is built under the current definition.")
    asked = set((context.cursor or "").split())
    definition = definition_of(database.database)
    for window in windows:
        key = f"{definition}:{window.start}:{window.end}"
        if key not in asked:
            context.update_cursor(" ".join([*sorted(asked), key]))
            return dg.RunRequest(
                run_key=f"{key}:{context.last_tick_completion_time or 0}",
                tags={**range_tags(window, REBUILD), "dagster/priority": "-10"},
            )
    return dg.SkipReason("A rebuild did not make these dates current: see fact_definitions.")
