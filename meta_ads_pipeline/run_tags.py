"""The tags of Dagster runs: what a run is for, and how it is queued and watched."""

from __future__ import annotations

from collections.abc import Mapping

ACCOUNTS_TAG = "meta_ads/accounts"
"""The ad accounts to sync, comma-separated; absent: every active one."""

SYNC_TAG = "meta_ads/sync_id"
"""The sync that the run belongs to. Slices done under the same sync are not fetched again."""

WORKSPACE_TAG = "meta_ads/workspace"
"""The workspace (id) that a run was asked for over HTTP; nobody else sees it there."""

REQUESTED_BY_TAG = "meta_ads/requested_by"
"""Who asked for it over HTTP: a member's name."""

REFRESH_TAG = "meta_ads/refresh"
"""The kind of refresh: one of the below."""

REFRESH_TODAY, REFRESH_RECENT, REFRESH_REACH = "today", "recent", "reach"
REFRESH_ENTITIES, REFRESH_ALL_ENTITIES = "entities", "all_entities"
RETRY, BACKFILL, INGESTED = "retry", "gaps", "ingested"

HOURS_TAG, CHANGED_HOURS = "meta_ads/hours", "changed"
"""``changed``: hours are read only where days no longer agree with them. Absent: all are."""

LANE_TAG = "meta_ads/lane"
"""Which places of the queue a run takes: ``today`` or ``other``. Limits are in ``dagster.yaml``."""

COMMAND_TAG = "meta_ads/command"
"""The ``meta-ads`` command that executes the run."""

WORKER_TAG = "meta_ads/worker"
"""The run's process: the run's id, then ``control.process_identity``."""

RETRY_ASKED_TAG = "meta_ads/retry_asked"
"""The run's own id, once Dagster was asked a second time to retry it. A retry copies it."""

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
PARTITION_TAG = "dagster/partition"
PRIORITY_TAG = "dagster/priority"
MAX_RUNTIME_TAG = "dagster/max_runtime"
"""Seconds; 0: as long as its process lives."""
MAX_RETRIES_TAG = "dagster/max_retries"

_ASKERS = {
    "dagster/schedule_name": "schedule",
    "dagster/sensor_name": "sensor",
    "dagster/backfill": "backfill",
    COMMAND_TAG: "meta-ads",
}


def requested_by(tags: Mapping[str, str]) -> str:
    """Who asked for a run: its schedule, sensor, backfill or command, else Dagster's UI or API."""
    for tag, kind in _ASKERS.items():
        if tags.get(tag):
            return f"{kind} {tags[tag]}"
    return "Dagster UI" if ".dagster/grpc_info" in tags else "Dagster"
