"""Which runs are not over yet: of a kind of refresh, or at work on some dates."""

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG

from meta_ads_pipeline.run_tags import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG, REFRESH_TAG
from meta_ads_pipeline.windows import DateWindow

MOST_TRIES = 3
"""Runs for the same key, which has a date in it: of a day."""

UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def unfinished_run(instance: dg.DagsterInstance, kind: str) -> str | None:
    """The id of a run of this kind that is waiting or at work; None when there is none."""
    runs = instance.get_runs(
        filters=dg.RunsFilter(
            tags={REFRESH_TAG: kind},
            statuses=list(UNFINISHED),
        ),
        limit=1,
    )
    return runs[0].run_id if runs else None


def unfinished_run_ids(instance: dg.DagsterInstance) -> set[str]:
    """All runs that are waiting or at work."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=list(UNFINISHED)))
    return {run.run_id for run in runs}


def free_run_key(instance: dg.DagsterInstance, key: str) -> str:
    """The key itself, or one more try of it where the runs that had it have failed.

    What was asked for is asked for again only while nothing has become of it: Dagster starts no
    second run of a key, though the first may have died before it began. ``MOST_TRIES`` in all; a
    run that a person has cancelled is left cancelled.
    """
    tried = key
    for number in range(2, MOST_TRIES + 1):
        runs = instance.get_runs(filters=dg.RunsFilter(tags={RUN_KEY_TAG: tried}), limit=1)
        if not runs or runs[0].status is not dg.DagsterRunStatus.FAILURE:
            return tried
        tried = f"{key}:{number}"
    return tried


def overlapping_run(instance: dg.DagsterInstance, window: DateWindow) -> str | None:
    """The id of a run that is waiting or at work on a date of the window; None when none is."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=list(UNFINISHED)))
    for run in runs:
        single = run.tags.get(PARTITION_TAG, "")
        start = run.tags.get(RANGE_START_TAG, single)
        end = run.tags.get(RANGE_END_TAG, single)
        if start <= window.end.isoformat() and end >= window.start.isoformat():
            return run.run_id
    return None
