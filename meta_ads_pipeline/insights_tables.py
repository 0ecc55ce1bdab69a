"""The landed insights: names, levels, grains, keys, measures. The only such list.

What is asked of Meta (``meta_api/fields.py``), how a value is read (``raw/normalize.py``), what a
row must be (``raw/schemas.py``) and what a restatement records follow from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["account", "campaign", "adset", "ad"]
Period: TypeAlias = Literal["day", "7d", "28d", "month"]
Grain: TypeAlias = Literal["hour"] | Period
ValueKind: TypeAlias = Literal["decimal", "integer", "list", "text"]

VALUES: Mapping[str, ValueKind] = MappingProxyType(
    {
        "spend": "decimal",
        "impressions": "integer",
        "clicks": "integer",
        "link_clicks": "integer",
        "reach": "integer",
        "frequency": "decimal",
        "unique_clicks": "integer",
        "unique_link_clicks": "integer",
        "actions": "list",
        "action_values": "list",
        "conversions": "list",
        "conversion_values": "list",
        "attribution_setting": "text",
    }
)
"""Every value that Meta gives, by column: an exact decimal, a whole number, a list by action type,
or a text."""

_META_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "link_clicks": "inline_link_clicks",
        "unique_link_clicks": "unique_inline_link_clicks",
    }
)

MEASURES = ("spend", "impressions", "clicks", "link_clicks")
"""Additive delivery measures, present at every level and grain."""

ACTION_LISTS = tuple(name for name, kind in VALUES.items() if kind == "list")
"""Fields that are lists by action type. ``conversions`` name the standard events (Contact,
Subscribe, ...) that ``actions`` have only within ``offsite_conversion.fb_pixel_custom``."""

UNIQUE_COUNTS = ("unique_clicks", "unique_link_clicks")
"""Counts of people that Meta keeps for a shorter time than the rest."""


def meta_field(column: str) -> str:
    """What the Insights API calls the value of a column."""
    return _META_NAMES.get(column, column)


@dataclass(frozen=True)
class InsightsTable:
    """One raw insights table and the pull that fills it.

    ``columns`` come from the rows; the account, its timezone and currency, the API version and
    the time of the pull are the same for all rows of a slice and are added by the loader.
    A table that ``has_periods`` holds several levels and periods, its own level being the coarsest
    and its grain the finest: a row belongs to the date that its period ends with, a pull speaks for
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
    def fields(self) -> tuple[str, ...]:
        """What to ask Meta for: the fields of the columns that hold a value of Meta's."""
        return tuple(meta_field(column) for column in self.columns if column in VALUES)

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

HOURLY_TABLE = InsightsTable(
    "insights_hourly",
    "ad",
    "hour",
    ("event_date", "ad_id", "event_hour"),
    ("event_date", *_AD_IDS, "event_hour", "event_at", "hour_flag", *MEASURES, "actions"),
)
"""Delivery and on-Meta actions."""

DAILY_TABLE = InsightsTable(
    "insights_daily",
    "ad",
    "day",
    ("event_date", "ad_id"),
    (
        *("event_date", *_AD_IDS, *MEASURES),
        *("reach", "frequency", *ACTION_LISTS, "attribution_setting"),
    ),
)
"""The same, and every conversion."""

TOTALS_TABLE = InsightsTable(
    "account_totals",
    "account",
    "day",
    ("event_date",),
    ("event_date", *MEASURES, "reach", "frequency", *ACTION_LISTS),
)
"""What Ads Manager shows."""

INSIGHTS_TABLES: Mapping[str, InsightsTable] = MappingProxyType(
    {table.asset: table for table in (HOURLY_TABLE, DAILY_TABLE, TOTALS_TABLE)}
)
"""The three pulls that an account-day is reconciled from."""

REACH_TABLE = InsightsTable(
    "insights_reach",
    "account",
    "day",
    ("event_date", "level", "entity_id", "period"),
    (
        *("event_date", "level", "entity_id", "period", "period_start", "period_end"),
        *("spend", "impressions", "clicks", "reach", "frequency", *UNIQUE_COUNTS, "omitted"),
    ),
    has_periods=True,
)
"""What Meta counts anew for each level and period."""

REACH_LEVELS: tuple[Level, ...] = ("account", "campaign", "adset")
REACH_PERIODS: tuple[Period, ...] = ("day", "7d", "28d", "month")

ALL_INSIGHTS_TABLES: Mapping[str, InsightsTable] = MappingProxyType(
    {**INSIGHTS_TABLES, REACH_TABLE.asset: REACH_TABLE}
)
