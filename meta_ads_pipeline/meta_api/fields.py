"""What is asked for: one table of fields and statuses per kind of object, one per insights report.

Names are those of Marketing API v26. Fields that need more than ads_read (funding_source,
is_prepay_account, owner) are left out: one refused field would fail the whole request.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from meta_ads_pipeline.attribution import AD_SET_SETTING
from meta_ads_pipeline.insights_tables import (
    ACTION_LISTS,
    DAILY_TABLE,
    HOURLY_TABLE,
    REACH_TABLE,
    UNIQUE_COUNTS,
    Grain,
    Level,
    meta_field,
)
from meta_ads_pipeline.meta_api.error_rules import Action
from meta_ads_pipeline.meta_api.errors import MetaApiError

logger = logging.getLogger(__name__)

Kind = Literal["campaign", "adset", "ad", "creative"]

ACCOUNT_FIELDS = (
    "id",
    "account_id",
    "name",
    "account_status",
    "disable_reason",
    "currency",
    "timezone_name",
    "timezone_id",
    "timezone_offset_hours_utc",
    "min_daily_budget",
    "amount_spent",
    "balance",
    "spend_cap",
    "business",
    "created_time",
)

ENTITY_FIELDS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        "campaign": (
            "id",
            "account_id",
            "name",
            "objective",
            "buying_type",
            "status",
            "configured_status",
            "effective_status",
            "daily_budget",
            "lifetime_budget",
            "budget_remaining",
            "spend_cap",
            "bid_strategy",
            "special_ad_categories",
            "start_time",
            "stop_time",
            "created_time",
            "updated_time",
            "issues_info",
        ),
        "adset": (
            "id",
            "account_id",
            "campaign_id",
            "name",
            "status",
            "configured_status",
            "effective_status",
            "optimization_goal",
            "billing_event",
            "bid_strategy",
            "bid_amount",
            "daily_budget",
            "lifetime_budget",
            "budget_remaining",
            "start_time",
            "end_time",
            "bid_constraints",
            "targeting",
            "promoted_object",
            "attribution_spec",
            "destination_type",
            "learning_stage_info",
            "issues_info",
            "created_time",
            "updated_time",
        ),
        "ad": (
            "id",
            "account_id",
            "campaign_id",
            "adset_id",
            "name",
            "status",
            "configured_status",
            "effective_status",
            "creative",
            "conversion_domain",
            "ad_review_feedback",
            "issues_info",
            "tracking_specs",
            "created_time",
            "updated_time",
        ),
        "creative": (
            "id",
            "account_id",
            "name",
            "status",
            "title",
            "body",
            "object_type",
            "object_story_id",
            "effective_object_story_id",
            "object_story_spec",
            "asset_feed_spec",
            "call_to_action_type",
            "image_hash",
            "image_url",
            "thumbnail_url",
            "video_id",
            "link_url",
            "url_tags",
            "instagram_user_id",
            "instagram_permalink_url",
        ),
    }
)

CUSTOM_CONVERSION_FIELDS = (
    "id",
    "account_id",
    "name",
    "description",
    "custom_event_type",
    "rule",
    "aggregation_rule",
    "default_conversion_value",
    "event_source_type",
    "pixel",
    "is_archived",
    "is_unavailable",
    "creation_time",
    "first_fired_time",
    "last_fired_time",
)

FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **{str(kind): fields for kind, fields in ENTITY_FIELDS.items()},
        "account": ACCOUNT_FIELDS,
        "custom_conversion": CUSTOM_CONVERSION_FIELDS,
    }
)
"""The fields asked for, by kind of object."""

KEPT_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "account": ("id", "account_id", "name", "currency", "timezone_name"),
        "campaign": ("id", "account_id"),
        "adset": ("id", "account_id", "campaign_id"),
        "ad": ("id", "account_id", "campaign_id", "adset_id"),
        "creative": ("id", "account_id"),
        "custom_conversion": ("id",),
    }
)
"""What an object is worth nothing without: never left out to get the rest."""

SUSPECT_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "account": ("business", "balance", "spend_cap", "amount_spent", "disable_reason"),
        "campaign": ("issues_info",),
        "adset": ("targeting", "promoted_object", "issues_info"),
        "ad": ("tracking_specs", "ad_review_feedback", "issues_info"),
        "creative": (
            "object_story_spec",
            "asset_feed_spec",
            "object_story_id",
            "effective_object_story_id",
            "instagram_permalink_url",
        ),
        "custom_conversion": ("rule", "pixel"),
    }
)
"""Fields that are heavy, need more than ads_read, or live on a post that may be gone."""

EDGES: Mapping[Kind, str] = MappingProxyType(
    {"campaign": "campaigns", "adset": "adsets", "ad": "ads", "creative": "adcreatives"}
)

_COMMON_STATUSES = ("ACTIVE", "PAUSED", "ARCHIVED", "IN_PROCESS", "WITH_ISSUES")
# Every effective status but DELETED. Plain lists leave ARCHIVED out; naming it brings it in.
EFFECTIVE_STATUSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "campaign": _COMMON_STATUSES,
        "adset": (*_COMMON_STATUSES, "CAMPAIGN_PAUSED"),
        "ad": (
            *_COMMON_STATUSES,
            "CAMPAIGN_PAUSED",
            "ADSET_PAUSED",
            "PENDING_REVIEW",
            "DISAPPROVED",
            "PREAPPROVED",
            "PENDING_BILLING_INFO",
        ),
    }
)
DELETED = "DELETED"

# Ids in one filter: about 27 bytes each in the URL, which stays well under the usual 8 KB.
IDS_PER_FILTER = 100

HOURLY_BREAKDOWN = "hourly_stats_aggregated_by_advertiser_time_zone"

LEVEL_IDS: Mapping[Level, tuple[str, ...]] = MappingProxyType(
    {
        "account": ("account_id",),
        "campaign": ("account_id", "campaign_id"),
        "adset": ("account_id", "campaign_id", "adset_id"),
        "ad": ("account_id", "campaign_id", "adset_id", "ad_id"),
    }
)

# With the hourly breakdown Meta refuses unique_*, cpp and video_*, returns reach and frequency
# as 0, and leaves off-Meta actions out. Ratios are derived downstream. No names: they change,
# and an entity's name is the entity tables' business.
INSIGHTS_FIELDS: Mapping[Grain, tuple[str, ...]] = MappingProxyType(
    {"hour": HOURLY_TABLE.fields, "day": ("account_currency", *DAILY_TABLE.fields)}
)

# What the attribution windows are asked for: lists by action type.
ACTION_FIELDS = frozenset(meta_field(name) for name in ACTION_LISTS)

# Asked with the day's actions; hours carry on-Meta actions only, whose clicks and views are known.
WINDOWS_PARAMETER = "action_attribution_windows"

# People are counted anew for every level and period: none of these add up.
UNIQUE_FIELDS = tuple(meta_field(name) for name in UNIQUE_COUNTS)
REACH_FIELDS = tuple(name for name in REACH_TABLE.fields if name not in UNIQUE_FIELDS)

# `time_increment`: how many days one row covers.
TIME_INCREMENTS: Mapping[Grain, int | str] = MappingProxyType(
    {"hour": 1, "day": 1, "7d": 7, "28d": 28, "month": "monthly"}
)

# Without these a document or row means nothing: refusing one of them is an error.
ESSENTIAL_FIELDS = frozenset(
    {"id", "account_id", "campaign_id", "adset_id", "ad_id", "spend", "impressions"}
)
# A word that can be a field of ours: with an underscore, or in parentheses or quotes.
_FIELD_NAME = re.compile(r"(?<![\w.\[])(?=\w*_|(?<=[(\"'])\w+[)\"'])(\w+)(?![\w\[])")

# "must be one of the following values: 1d_view, 7d_click", or the same list in braces.
_ALLOWED_WINDOWS = re.compile(r"must be one of[^:{]*[:{]\s*(\w+(?:\s*,\s*\w+)*)")
_WINDOW_PLACE = re.compile(rf"{WINDOWS_PARAMETER}\[(\d+)\]")


def insights_fields(level: Level, grain: Grain) -> tuple[str, ...]:
    """Fields of an insights request: the ids down to the level, then the measures."""
    return LEVEL_IDS[level] + INSIGHTS_FIELDS[grain]


def refused_windows(sent: Sequence[str], error: MetaApiError) -> tuple[str, ...]:
    """Which of the windows sent, the ad set's setting first, this error is about; () if none.

    All of them where it names the parameter alone, or the setting itself: without it ``value``
    would no longer follow the setting.
    """
    text = " ".join((error.message, *error.blamed))
    if error.action is not Action.FIX_REQUEST or not sent:
        return ()
    named = WINDOWS_PARAMETER in text
    allowed = _ALLOWED_WINDOWS.search(text) if named else None
    if allowed is not None:
        text = text.replace(allowed[1], " ")
    words = set(re.findall(r"\w+", text)) - {AD_SET_SETTING}
    gone = {window for window in sent if window in words}
    if named and not gone and allowed is not None:
        gone = set(sent) - set(re.findall(r"\w+", allowed[1]))
    if named and not gone:
        gone = {sent[int(place)] for place in _WINDOW_PLACE.findall(text) if int(place) < len(sent)}
    if named and (not gone or AD_SET_SETTING in gone):
        gone = set(sent)
    return tuple(window for window in sent if window in gone)


class DroppedFields:
    """Fields and windows that Meta no longer has, per kind of request; remembered: asked once.

    Thread-safe. Keys are entity kinds, "account", or "insights/<level>/<grain>".
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dropped: dict[str, dict[str, str]] = {}

    def keep(self, key: str, fields: tuple[str, ...]) -> tuple[str, ...]:
        """The fields that are still asked for."""
        with self._lock:
            gone = self._dropped.get(key, {})
            return tuple(field for field in fields if field not in gone)

    def drop(self, key: str, fields: tuple[str, ...], error: MetaApiError) -> tuple[str, ...]:
        """Record what the error says is gone; returns the names that were in ``fields``.

        Meta words it in many ways, so a refused request whose error names a field counts too;
        not ``name[0]``, which is a parameter, and nothing that a row means nothing without.
        """
        if error.action is Action.DROP_FIELD:
            named = error.blamed
        elif error.action is Action.FIX_REQUEST:
            named = tuple(_FIELD_NAME.findall(error.message)) + error.blamed
        else:
            return ()
        gone = tuple(name for name in fields if name in named and name not in ESSENTIAL_FIELDS)
        self.record(key, gone, error)
        return gone

    def record(self, key: str, names: tuple[str, ...], error: MetaApiError) -> None:
        """Remember that these were left out, and Meta's reason; logged once."""
        with self._lock:
            known = self._dropped.setdefault(key, {})
            new = [name for name in names if name not in known]
            for name in names:
                known[name] = error.message or error.explanation
        if new:
            logger.warning("%s is read without %s: %s", key, ", ".join(new), error)

    def snapshot(self, key: str | None = None) -> dict[str, dict[str, str]]:
        """What was left out so far: key -> field -> reason."""
        with self._lock:
            return {
                each: dict(names)
                for each, names in self._dropped.items()
                if key is None or each == key
            }
