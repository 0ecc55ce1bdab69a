"""How long Dagster's records of finished runs are kept.

Dagster deletes ticks by itself (``dagster.yaml: retention``), runs and their events never. What its
instance can delete is deleted through it. It cannot tell apart what the state of partitions and
checks hangs on: the latest materialization of a partition, a later attempt that failed, the latest
result of a check. These stay, whatever their age, so that no partition turns missing, and none that
failed turns green, because time has passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus

from meta_ads_pipeline.control.database import Database, has_relation
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

_RUNS_AT_ONCE = 100

FINISHED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)

_BACKFILLS_OVER = [
    status.value
    for status in BulkActionStatus
    if status.value.startswith("COMPLETED") or status.value in ("FAILED", "CANCELED")
]


def delete_old_runs(instance: dg.DagsterInstance, database: Database, before: datetime) -> int:
    """Delete runs that were over ``before`` (aware), with events, check results and logs.

    Of a run on which the state of a partition hangs, the run and those events stay. Returns how
    many runs were deleted. Nothing happens where Dagster's storage is not in this database.
    """
    if not _is_here(database):
        return 0
    over = instance.get_run_ids(
        filters=dg.RunsFilter(statuses=list(FINISHED), updated_before=before)
    )
    deleted = 0
    for first in range(0, len(over), _RUNS_AT_ONCE):
        runs = over[first : first + _RUNS_AT_ONCE]
        for run_id in runs:
            instance.compute_log_manager.delete_logs(prefix=[run_id])
        for run_id in _without_state(database, runs):
            instance.delete_run(run_id)
            deleted += 1
    return deleted


def delete_old_backfills(database: Database, before: datetime) -> int:
    """Delete backfills launched ``before`` (aware) that are over; Dagster itself never does."""
    if not _is_here(database):
        return 0
    with database.connect() as connection:
        rows = connection.execute(
            "delete from dagster.bulk_actions where timestamp < %s and status = any(%s)"
            " returning key",
            [before.astimezone(UTC).replace(tzinfo=None), _BACKFILLS_OVER],
        ).fetchall()
        connection.execute(
            "delete from dagster.backfill_tags where backfill_id = any(%s)",
            [[row["key"] for row in rows]],
        )
    return len(rows)


def _is_here(database: Database) -> bool:
    with database.connect() as connection:
        return has_relation(connection, "dagster.event_logs")


def _without_state(database: Database, runs: Sequence[str]) -> list[str]:
    """The runs on which no state hangs. Of the others, what is only detail is deleted."""
    with database.connect() as connection:
        kept = connection.execute(sql("state_of_partitions"), {"runs": list(runs)}).fetchall()
        partly = sorted({row["run_id"] for row in kept})
        connection.execute(sql("delete_checks_seen_again"), {"runs": list(runs)})
        connection.execute(
            sql("delete_events_without_state"),
            {"runs": partly, "kept": [row["id"] for row in kept]},
        )
    return [run_id for run_id in runs if run_id not in partly]
