"""The insights tables: what each holds, what identifies a row, what a restatement records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MEASURES = ("spend", "impressions", "clicks", "link_clicks")
"""Additive delivery measures, present at every level and grain."""

ACTION_LISTS = ("actions", "action_values", "conversions", "conversion_values")
"""Fields that are lists by action type. ``conversions`` name the standard events (Contact,
Subscribe, ...) that ``actions`` have only within ``offsite_conversion.fb_pixel_custom``."""


@dataclass(frozen=True)
class InsightsTable:
    """One raw insights table and the pull that fills it.

    ``columns`` come from the rows; the account, its timezone and currency, the API version and
    the time of the pull are the same for all rows of a slice and are added by the loader.
    A table that ``has_periods`` holds several levels and grains, its own being the coarsest level
    and the finest grain: a row belongs to the date that its period ends with, a pull speaks for
    the periods that it asked for, and nothing in it can be summed.
    """

    asset: str
    level: Literal["ad", "account"]
    grain: Literal["hour", "day"]
    key: tuple[str, ...]
    columns: tuple[str, ...]
    has_periods: bool = False

    @property
    def name(self) -> str:
        """The table's qualified name."""
        return f"raw.{self.asset}"

    @property
    def values(self) -> tuple[str, ...]:
        """The columns that are not part of the key."""
        return tuple(column for column in self.columns if column not in self.key)

    @property
    def entity_column(self) -> str:
        """The column with the id of what a row is about."""
        if self.has_periods:
            return "entity_id"
        return "ad_id" if self.level == "ad" else "account_id"

    @property
    def is_partitioned(self) -> bool:
        """Whether the table has monthly children."""
        return self.level == "ad"


_AD_IDS = ("campaign_id", "adset_id", "ad_id")

INSIGHTS_TABLES: Mapping[str, InsightsTable] = {
    table.asset: table
    for table in (
        InsightsTable(
            "insights_hourly",
            "ad",
            "hour",
            ("event_date", "ad_id", "event_hour"),
            (
                *("event_date", *_AD_IDS, "event_hour", "event_at", "hour_flag"),
                *(*MEASURES, "actions"),
            ),
        ),
        InsightsTable(
            "insights_daily",
            "ad",
            "day",
            ("event_date", "ad_id"),
            (
                *("event_date", *_AD_IDS, *MEASURES),
                *("reach", "frequency", *ACTION_LISTS, "attribution_setting"),
            ),
        ),
        InsightsTable(
            "account_totals",
            "account",
            "day",
            ("event_date",),
            ("event_date", *MEASURES, "reach", "frequency", *ACTION_LISTS),
        ),
    )
}

REACH_TABLE = InsightsTable(
    "insights_reach",
    "account",
    "day",
    ("event_date", "level", "entity_id", "period"),
    (
        *("event_date", "level", "entity_id", "period", "period_start", "period_end"),
        *("spend", "impressions", "clicks", "reach", "frequency"),
        *("unique_clicks", "unique_link_clicks", "omitted"),
    ),
    has_periods=True,
)
"""What Meta counts anew for each level and period."""

ALL_INSIGHTS_TABLES: Mapping[str, InsightsTable] = {
    **INSIGHTS_TABLES,
    REACH_TABLE.asset: REACH_TABLE,
}
