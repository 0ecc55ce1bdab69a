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

from meta_ads_pipeline.control.database import Database

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

_STATE_OF_PARTITIONS = """
select e.run_id, e.id
from dagster.event_logs as e
where
    e.run_id = any(%(runs)s)
    and e.asset_key is not null
    and (
        e.dagster_event_type = 'ASSET_MATERIALIZATION'
        or e.dagster_event_type in ('ASSET_MATERIALIZATION_PLANNED', 'ASSET_FAILED_TO_MATERIALIZE')
        and not exists (
            select from dagster.event_logs as again
            where
                again.asset_key = e.asset_key
                and again.dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED'
                and again.partition is not distinct from e.partition
                and again.id > e.id
        )
    )
    and not exists (
        select from dagster.event_logs as later
        where
            later.asset_key = e.asset_key
            and later.dagster_event_type = 'ASSET_MATERIALIZATION'
            and later.partition is not distinct from e.partition
            and later.id > e.id
    )
"""

_CHECKS_SEEN_AGAIN = """
delete from dagster.asset_check_executions as c
where
    c.run_id = any(%(runs)s)
    and exists (
        select from dagster.asset_check_executions as later
        where
            later.asset_key = c.asset_key
            and later.check_name = c.check_name
            and later.partition is not distinct from c.partition
            and later.id > c.id
    )
"""

_EVENTS_WITHOUT_STATE = """
with gone as (
    delete from dagster.event_logs
    where
        run_id = any(%(runs)s)
        and id <> all(%(kept)s)
        -- When the run began and ended: five rows at most.
        and coalesce(dagster_event_type, '') not like 'PIPELINE\\_%%'
    returning id
)

delete from dagster.asset_event_tags using gone
where asset_event_tags.event_id = gone.id
"""


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
        row = connection.execute("select to_regclass('dagster.event_logs') as name").fetchone()
    return row is not None and row["name"] is not None


def _without_state(database: Database, runs: Sequence[str]) -> list[str]:
    """The runs on which no state hangs. Of the others, what is only detail is deleted."""
    with database.connect() as connection:
        kept = connection.execute(_STATE_OF_PARTITIONS, {"runs": list(runs)}).fetchall()
        partly = sorted({row["run_id"] for row in kept})
        connection.execute(_CHECKS_SEEN_AGAIN, {"runs": list(runs)})
        connection.execute(
            _EVENTS_WITHOUT_STATE, {"runs": partly, "kept": [row["id"] for row in kept]}
        )
    return [run_id for run_id in runs if run_id not in partly]
