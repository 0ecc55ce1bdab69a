"""A run whose marts are as the last build left them: their assets and checks, without dbt."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import TopologicalSorter

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

_EVALUATED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


def every_check_passed(context: dg.AssetExecutionContext) -> bool:
    """Whether each check of this step passed when it was last evaluated.

    One that did not is evaluated again: what is red turns green by its own rows alone.
    """
    storage = context.instance.event_log_storage
    for key in context.selected_asset_check_keys:
        last = storage.get_asset_check_execution_history(key, limit=1, status=_EVALUATED)
        if not last or last[0].status is AssetCheckExecutionRecordStatus.FAILED:
            return False
    return True


def as_they_are(
    context: dg.AssetExecutionContext,
) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
    """The step's outputs, each after those it reads, and its checks."""
    names = {
        key: name
        for name, key in context.assets_def.keys_by_output_name.items()
        if key in context.selected_asset_keys
    }
    reads = context.assets_def.asset_deps
    for key in TopologicalSorter({key: reads[key] & names.keys() for key in names}).static_order():
        yield dg.Output(None, names[key], metadata={"unchanged": True})
    for check in sorted(context.selected_asset_check_keys):
        yield dg.AssetCheckResult(
            passed=True,
            asset_key=check.asset_key,
            check_name=check.name,
            description="Its rows are those for which it passed before.",
        )
