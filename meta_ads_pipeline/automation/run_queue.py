"""The queue of runs: today's numbers have a place of their own, the rest goes by priority.

``dagster.yaml`` names this coordinator and the limits of each lane.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext

from meta_ads_pipeline.run_tags import (
    BACKFILL,
    INGESTED,
    LANE_TAG,
    PRIORITY_TAG,
    REFRESH_ALL_ENTITIES,
    REFRESH_ENTITIES,
    REFRESH_REACH,
    REFRESH_RECENT,
    REFRESH_TAG,
    REFRESH_TODAY,
    RETRY,
)

TODAY, OTHER = "today", "other"

_PRIORITIES = {
    REFRESH_TODAY: 20,
    INGESTED: 20,
    REFRESH_ENTITIES: 10,
    REFRESH_ALL_ENTITIES: 5,
    REFRESH_RECENT: 10,
    REFRESH_REACH: 10,
    RETRY: 5,
    BACKFILL: -10,
}
_OF_A_PERSON = 0
_OF_A_LARGE_BACKFILL = -10

_TAKES_NO_PLACE = frozenset({"credentials", "retention", "build_dimensions", "build_ingested"})
"""Jobs that pull no insights and build at most a few marts; there is one run of each at a time."""


def queue_tags(job_name: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The lane and the priority of a run, as tags. What was chosen for it already stays."""
    otherwise = _OF_A_LARGE_BACKFILL if "dagster/backfill" in tags else _OF_A_PERSON
    kind = tags.get(REFRESH_TAG, "")
    own = {PRIORITY_TAG: str(_PRIORITIES.get(kind, otherwise))}
    if job_name not in _TAKES_NO_PLACE:
        own[LANE_TAG] = TODAY if kind == REFRESH_TODAY else OTHER
    return {name: value for name, value in own.items() if name not in tags}


class LaneRunCoordinator(QueuedRunCoordinator):
    """Dagster's queue, in which each run is tagged with its lane and priority as it enters."""

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Tag the run, then queue it."""
        run = context.dagster_run
        tags = queue_tags(run.job_name, run.tags)
        if tags:
            self._instance.add_run_tags(run.run_id, tags)
        return super().submit_run(context)
