"""A partition in which an account is missing is not green, and a new run asks for that account."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from meta_ads_pipeline.partitions import daily_partitions, materialize_only, single_run
from meta_ads_pipeline.raw.assets import sync_id_of
from meta_ads_pipeline.run_tags import SYNC_TAG

DATES = ("2026-03-02", "2026-03-03")
KEY = dg.AssetKey("landed")


@dg.asset(key=KEY, partitions_def=daily_partitions, backfill_policy=single_run)
def landed(context: dg.AssetExecutionContext) -> dg.Output[None]:
    """Lacks an account on the second date."""
    red = {DATES[1]: "act_2: failed"}
    return dg.Output(None, metadata=materialize_only(context, KEY, red, {DATES[0]: {"rows": 3}}))


@dg.asset(deps=[landed], partitions_def=daily_partitions, backfill_policy=single_run)
def built() -> None:
    """Goes on with what has landed."""


@dg.asset(deps=[built], partitions_def=daily_partitions, backfill_policy=single_run)
def closing() -> None:
    """Fails the run in the end."""
    raise dg.Failure("something is missing")


def test_the_others_are_built_and_the_partition_is_failed(instance: DagsterInstance) -> None:
    job = dg.define_asset_job("all", selection="*")
    definitions = dg.Definitions(
        [landed, built, closing], jobs=[job], executor=dg.in_process_executor
    )
    result = definitions.resolve_job_def("all").execute_in_process(
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": DATES[0],
            "dagster/asset_partition_range_end": DATES[1],
        },
        raise_on_error=False,
    )
    assert not result.success
    assert {event.step_key for event in result.get_step_success_events()} == {"landed", "built"}
    events = instance.get_event_records(
        dg.EventRecordsFilter(dg.DagsterEventType.ASSET_MATERIALIZATION, asset_key=KEY)
    )
    assert [record.partition_key for record in events] == [DATES[0]]
    assert events[0].asset_materialization.metadata["rows"].value == 3
    with partition_loading_context(dynamic_partitions_store=instance):
        cached = get_and_update_asset_status_cache_value(instance, KEY, daily_partitions)
    assert cached is not None
    failed = cached.deserialize_failed_partition_subsets(daily_partitions)
    assert set(failed.get_partition_keys()) == {DATES[1]}


def run_with(instance: DagsterInstance, **values: Any) -> dg.DagsterRun:
    run = dg.DagsterRun(job_name="sync", **values)
    instance.add_run(run)
    return run


class _Context:
    def __init__(self, instance: DagsterInstance, run: dg.DagsterRun) -> None:
        self.instance, self.run = instance, run


@pytest.mark.parametrize(
    ("tags", "continues"),
    [
        ({}, False),  # "re-execute all"
        ({"dagster/is_resume_retry": "true"}, True),
        ({"dagster/is_asset_resume_retry": "true"}, True),
        ({"dagster/retry_number": "1"}, True),
    ],
)
@pytest.mark.parametrize("of_a_sync", [False, True])
def test_only_retries_and_from_failure_go_on_with_what_was_done(
    instance: DagsterInstance, tags: Mapping[str, str], continues: bool, of_a_sync: bool
) -> None:
    sync = {SYNC_TAG: "the-sync"} if of_a_sync else {}
    first = run_with(instance, tags=sync)
    again = run_with(
        instance,
        root_run_id=first.run_id,
        parent_run_id=first.run_id,
        tags={**sync, **tags},
    )
    began = "the-sync" if of_a_sync else first.run_id
    assert sync_id_of(_Context(instance, first)) == began
    assert sync_id_of(_Context(instance, again)) == (began if continues else again.run_id)


def test_a_retry_of_a_run_that_began_anew_goes_on_with_that_one(instance: DagsterInstance) -> None:
    first = run_with(instance)
    anew = run_with(instance, root_run_id=first.run_id, parent_run_id=first.run_id)
    retry = run_with(
        instance,
        root_run_id=first.run_id,
        parent_run_id=anew.run_id,
        tags={"dagster/retry_number": "1"},
    )
    assert sync_id_of(_Context(instance, retry)) == anew.run_id
