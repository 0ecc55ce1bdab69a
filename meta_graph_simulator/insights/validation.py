"""What an insights request may ask for; everything else is refused in Meta's words."""

from __future__ import annotations

import calendar
from datetime import date

from meta_graph_simulator.accounts.source import ParameterError
from meta_graph_simulator.graph.fields import catalogue
from meta_graph_simulator.insights.query import InsightsQuery

HOURLY = "hourly_stats_aggregated_by_advertiser_time_zone"
HOURLY_BY_AUDIENCE = "hourly_stats_aggregated_by_audience_time_zone"
SEGMENTED = ("age", "gender", "country", "publisher_platform", "device_platform")
ACTION_BREAKDOWNS = (
    "action_type",
    "action_target_id",
    "action_destination",
    "action_device",
    "action_reaction",
    "action_video_type",
    "action_video_sound",
    "action_carousel_card_id",
    "action_carousel_card_name",
    "action_canvas_component_name",
    "conversion_destination",
    "signal_source_bucket",
    "standard_event_content_type",
)
_WITH_HOURS = frozenset({"action_type", "action_target_id", "action_destination"})
LIVE_WINDOWS = (
    "1d_click",
    "7d_click",
    "28d_click",
    "1d_view",
    "1d_ev",
    "default",
    "dda",
    "incrementality",
)
# Accepted, yet without data: the views since 2026-01-12, the others without an iOS campaign.
DEAD_WINDOWS = (
    "7d_view",
    "28d_view",
    "7d_view_first_conversion",
    "28d_view_first_conversion",
    "skan_click",
    "skan_view",
    "skan_click_second_postback",
    "skan_view_second_postback",
    "skan_click_third_postback",
    "skan_view_third_postback",
)
RETENTION_MONTHS = 37
HOURLY_RETENTION_MONTHS = 13
_REFUSED_BY_HOUR = ("unique_", "cost_per_unique_", "video_")
_FIELDS_URL = "https://developers.facebook.com/docs/marketing-api/reference/ads-insights/"


def months_before(day: date, months: int) -> date:
    """The same day of the month so many months earlier, or the last one that exists."""
    index = day.year * 12 + day.month - 1 - months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def check(query: InsightsQuery, today: date) -> None:
    """Refuse what Meta refuses.

    Raises ParameterError: code 3018 before the retention of 37 months, else code 100.
    """
    for index, name in enumerate(query.fields or ()):
        if name not in catalogue("insights"):
            raise ParameterError(
                f"(#100) {name} is not valid for fields param. please check {_FIELDS_URL}"
                " for all valid values",
                blame_fields=(f"fields[{index}]",),
            )
    _check_dates(query, today)
    _check_breakdowns(query)
    known = (*LIVE_WINDOWS, *DEAD_WINDOWS)
    for index, window in enumerate(query.action_attribution_windows):
        if window not in known:
            raise ParameterError(
                f"(#100) action_attribution_windows[{index}] must be one of the following values: "
                + ", ".join(sorted(known))
            )


def _check_dates(query: InsightsQuery, today: date) -> None:
    if query.since > query.until:
        raise ParameterError(
            "(#100) Must specify a time range whose since is not after its until date",
            blame_fields=("time_range",),
        )
    if query.since < months_before(today, RETENTION_MONTHS):
        raise ParameterError(
            "(#3018) The start date of the time range cannot be beyond 37 months from the current"
            " date",
            code=3018,
        )
    increment = query.time_increment
    if isinstance(increment, int) and not 1 <= increment <= 90:
        raise ParameterError("(#100) param time_increment must be between 1 and 90")


def _check_breakdowns(query: InsightsQuery) -> None:
    allowed = (*SEGMENTED, HOURLY, HOURLY_BY_AUDIENCE)
    for index, name in enumerate(query.breakdowns):
        if name not in allowed:
            raise ParameterError(
                f"(#100) breakdowns[{index}] must be one of the following values: "
                + ", ".join(sorted(allowed))
            )
    for index, name in enumerate(query.action_breakdowns):
        if name not in ACTION_BREAKDOWNS:
            raise ParameterError(
                f"(#100) action_breakdowns[{index}] must be one of the following values: "
                + ", ".join(sorted(ACTION_BREAKDOWNS))
            )
    if HOURLY_BY_AUDIENCE in query.breakdowns:
        raise ParameterError(
            f"(#100) {HOURLY_BY_AUDIENCE} is available only to apps that have opted in"
        )
    hourly = HOURLY in query.breakdowns
    mixed = hourly and (len(query.breakdowns) > 1 or set(query.action_breakdowns) - _WITH_HOURS)
    if mixed or len(set(query.breakdowns)) < len(query.breakdowns):
        columns = ", ".join((*query.action_breakdowns, *query.breakdowns))
        raise ParameterError(
            f"(#100) Current combination of data breakdown columns ({columns}) is invalid",
            blame_fields=("breakdowns",),
        )
    if not hourly:
        return
    refused = [
        name for name in query.fields or () if name == "cpp" or name.startswith(_REFUSED_BY_HOUR)
    ]
    if refused:
        raise ParameterError(
            f"(#100) {', '.join(refused)} cannot be requested with the breakdown {HOURLY}",
            blame_fields=("fields",),
        )
