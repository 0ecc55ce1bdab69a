"""The one daily partition definition: a calendar date, read as each account's own local date."""

from __future__ import annotations

import warnings

import dagster as dg

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

single_run = dg.BackfillPolicy.single_run()
"""A range of dates is one run: a year's backfill starts one process, not 365."""
