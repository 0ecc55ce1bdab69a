"""The one daily partition definition: a calendar date, read as each account's own local date."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.execution.context.metadata_logging import (
    AssetMetadataHandle,
    OutputMetadataAccumulator,
)

from meta_ads_pipeline.settings import get_settings

# backfill_policy and partitioned checks are "beta" and "preview" in Dagster 1.13: known, pinned,
# and not worth a warning per asset on every command.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

EARLIEST_TIMEZONE = "Pacific/Kiritimati"
"""UTC+14, no summer time: a date exists as a partition once it has begun anywhere on Earth."""

daily_partitions = dg.DailyPartitionsDefinition(
    start_date=get_settings().history_start, timezone=EARLIEST_TIMEZONE, end_offset=1
)
"""Every date from ``META_ADS_HISTORY_START`` to today, today included."""

FIRST_PARTITION = daily_partitions.start.date()
"""A run over a range that begins earlier fails, wherever the range comes from."""

single_run = dg.BackfillPolicy.single_run()
"""A range of dates is one run: a year's backfill starts one process, not 365."""


def add_partition_metadata(
    context: dg.AssetExecutionContext,
    asset_key: dg.AssetKey,
    metadata: Mapping[str, Mapping[str, Any]],
) -> None:
    """Have the asset's next output say this of each partition (by its key).

    Dagster 1.13's ``add_asset_metadata`` copies and checks, at each call, what it was told of all
    partitions of all assets of the step: 13 s for a year. What outputs before this one have said is
    written, and let go of.
    """
    step = context.op_execution_context._step_execution_context
    step._metadata_accumulator = OutputMetadataAccumulator(
        per_output_metadata={
            AssetMetadataHandle(asset_key=asset_key, partition_key=key): values
            for key, values in metadata.items()
        }
    )


def materialize_only(
    context: dg.AssetExecutionContext,
    asset_key: dg.AssetKey,
    red: Mapping[str, str],
    metadata: Mapping[str, Mapping[str, Any]],
) -> Mapping[str, Any]:
    """Report the run's partitions as materialized, but for those that are ``red`` (key: why).

    Returns the metadata that the asset's output must carry, so that Dagster does not report all of
    them by itself. ``metadata`` is per partition key. Dagster 1.13 has no other way to leave a
    partition out of a range while the steps behind it go on: a partition that was planned and not
    materialized in a failed run is shown as failed, and the backfill as failed with it.
    """
    for key in context.partition_keys:
        if key in red:
            context.log.error(f"{asset_key.to_user_string()} {key} is not whole: {red[key]}")
            continue
        context.log_event(
            dg.AssetMaterialization(asset_key, partition=key, metadata=metadata.get(key))
        )
    return {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
