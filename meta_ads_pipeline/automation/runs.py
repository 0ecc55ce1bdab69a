"""Which runs are not over yet: of a kind of refresh, or at work on some dates."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from meta_ads_pipeline.raw.context import REFRESH_TAG
from meta_ads_pipeline.windows import DateWindow

UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


FORGOTTEN_AFTER = timedelta(hours=12)
"""A run that has been in one state for so long died with its host: nobody marked it as over."""


def unfinished_run(instance: dg.DagsterInstance, kind: str) -> str | None:
    """The id of a run of this kind that is waiting or at work; None when there is none."""
    runs = instance.get_runs(
        filters=dg.RunsFilter(
            tags={REFRESH_TAG: kind},
            statuses=list(UNFINISHED),
            updated_after=datetime.now(UTC) - FORGOTTEN_AFTER,
        ),
        limit=1,
    )
    return runs[0].run_id if runs else None


def unfinished_run_ids(instance: dg.DagsterInstance) -> set[str]:
    """All runs that are waiting or at work."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=list(UNFINISHED)))
    return {run.run_id for run in runs}


def overlapping_run(instance: dg.DagsterInstance, window: DateWindow) -> str | None:
    """The id of a run that is waiting or at work on a date of the window; None when none is."""
    runs = instance.get_runs(
        filters=dg.RunsFilter(
            statuses=list(UNFINISHED), updated_after=datetime.now(UTC) - FORGOTTEN_AFTER
        )
    )
    for run in runs:
        single = run.tags.get("dagster/partition", "")
        start = run.tags.get("dagster/asset_partition_range_start", single)
        end = run.tags.get("dagster/asset_partition_range_end", single)
        if start <= window.end.isoformat() and end >= window.start.isoformat():
            return run.run_id
    return None
