"""Dagster's records of a run over many dates: written together, and a check planned once."""

from __future__ import annotations

from collections import Counter

import dagster as dg

from meta_ads_pipeline.control.dagster_storage import BatchedEventLog
from tests.dagster_instance import postgres_instance

DATES = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-11")


@dg.asset(partitions_def=DATES, backfill_policy=dg.BackfillPolicy.single_run())
def hours() -> None:
    """Ten dates."""


@dg.asset(deps=[hours], partitions_def=DATES, backfill_policy=dg.BackfillPolicy.single_run())
def facts() -> None:
    """The same ten."""


@dg.asset_check(asset=facts)
def facts_are_right() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset_check(asset=hours)
def hours_are_right() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False)


def test_a_run_over_many_dates_is_written_in_few_statements(database, tmp_path, monkeypatch, query):
    alone: Counter[str | None] = Counter()
    store_event = BatchedEventLog.store_event

    def counted(log: BatchedEventLog, event: dg.EventLogEntry) -> None:
        alone[event.dagster_event.event_type_value if event.dagster_event else None] += 1
        store_event(log, event)

    monkeypatch.setattr(BatchedEventLog, "store_event", counted)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "500")
    tags = {
        "dagster/asset_partition_range_start": "2026-11-01",
        "dagster/asset_partition_range_end": "2026-11-10",
    }
    with postgres_instance(database, tmp_path) as instance:
        run = dg.materialize(
            [hours, facts, facts_are_right, hours_are_right], instance=instance, tags=tags
        )
        status = instance.get_status_by_partition(facts.key, DATES.get_partition_keys(), DATES)
        latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(
            [dg.AssetCheckKey(hours.key, "hours_are_right")]
        )
    assert run.success
    assert {str(each) for each in status.values()} == {"AssetPartitionStatus.MATERIALIZED"}
    assert [record.status.value for record in latest.values()] == ["FAILED"]
    written = query(
        "select dagster_event_type as type, asset_key, count(*) as n,"
        " array_agg(partition order by id) as partitions"
        " from dagster.event_logs where dagster_event_type like 'ASSET_MATERIALIZATION%%'"
        " group by 1, 2"
    )
    assert len(written) == 4
    for row in written:
        assert row["partitions"] == DATES.get_partition_keys(), row
        assert row["type"] not in alone
    checks = query(
        "select check_name, x.partition, execution_status as status,"
        " e.run_id = x.run_id as is_event"
        " from dagster.asset_check_executions as x"
        " left join dagster.event_logs as e on x.evaluation_event_storage_id = e.id order by 1"
    )
    assert checks == [
        {"check_name": name, "partition": None, "status": status, "is_event": True}
        for name, status in (("facts_are_right", "SUCCEEDED"), ("hours_are_right", "FAILED"))
    ]
    assert "ASSET_CHECK_EVALUATION_PLANNED" not in alone
