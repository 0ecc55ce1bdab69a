"""Unknown action types: what Meta reports and no list of ours names yet."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import lru_cache

from meta_ads_pipeline.control.alerts import (
    Alert,
    Severity,
    close_alerts,
    list_open_alerts,
    open_alert,
)
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.transform.project import DBT_PROJECT_DIR

KIND = "unknown_action_type"
_MOST_TYPES_TOLD = 20

_EVENTS = (
    *("achievement_unlocked", "activate_app", "add_payment_info", "add_to_cart", "add_to_wishlist"),
    *("app_install", "complete_registration", "contact", "custom", "customize_product", "donate"),
    *("donate_total", "donate_on_facebook", "donate_website", "find_location", "initiate_checkout"),
    *("initiated_checkout", "landing_page_view", "lead", "level_achieved", "other", "purchase"),
    *("rate", "schedule", "search", "spend_credits", "spent_credits", "start_trial"),
    *("submit_application", "subscribe", "tutorial_completion", "view_content", "content_view"),
    *("recurring_subscription_payment", "add_meta_leads", "complete_registration_add_meta_leads"),
)
"""Meta's standard events; each channel reports them under a prefix of its own."""

_CHANNELS = (
    *("", "omni_", "offsite_conversion.fb_pixel_", "app_custom_event.fb_mobile_"),
    *("app_custom_event.", "onsite_web_", "onsite_web_app_", "onsite_app_", "onsite_conversion."),
    *("web_in_store_", "web_app_in_store_", "mobile_app_", "offline_conversion.", "offsite_"),
    *("offsite_conversion.", "subscribe_"),
)

_OTHERS = frozenset(
    {
        *("like", "comment", "post", "link_click", "outbound_click", "video_view", "photo_view"),
        *("post_engagement", "page_engagement", "post_reaction", "rsvp", "checkin", "mention"),
        *("post_interaction_gross", "post_interaction_net", "follow", "tab_view", "gift_sale"),
        *("credit_spent", "games.plays", "app_use", "app_engagement", "app_story", "receive_offer"),
        *("leadgen.other", "leadgen_grouped", "click_to_call_call_confirm", "attention_event"),
        *("offsite_conversion", "app_custom_event", "onsite_conversion", "mobile_app_retention"),
        *("mobile_app_retention_d7", "omni_rewarded_video", "vote", "unfollow", "photo_views"),
        *("click_to_call_native_call_placed", "click_to_call_native_20s_call_connect"),
        *("click_to_call_native_60s_call_connect", "click_to_call_callback_request_submitted"),
        "contact_total",
        "schedule_total",
        "start_trial_total",
        "subscribe_total",
        "submit_application_total",
        "find_location_total",
        "customize_product_total",
        "onsite_conversion.lead_grouped",
        "onsite_conversion.lead",
        "onsite_conversion.flow_complete",
        "onsite_conversion.post_save",
        "onsite_conversion.post_net_save",
        "onsite_conversion.post_net_like",
        "onsite_conversion.post_net_comment",
        "onsite_conversion.post_unlike",
        "onsite_conversion.messaging_block",
        "onsite_conversion.messaging_first_reply",
        "onsite_conversion.messaging_reply",
        "onsite_conversion.messaging_user_subscribed",
        "onsite_conversion.messaging_conversation_started_7d",
        "onsite_conversion.messaging_conversation_replied_7d",
        "onsite_conversion.messaging_welcome_message_view",
        "onsite_conversion.messaging_user_depth_2_message_send",
        "onsite_conversion.messaging_user_depth_3_message_send",
        "onsite_conversion.messaging_user_depth_5_message_send",
        "onsite_conversion.total_messaging_connection",
        "onsite_conversion.messaging_order_created_v2",
        "offsite_search_add_meta_leads",
        "offsite_content_view_add_meta_leads",
    }
)

KNOWN_TYPES = _OTHERS | {channel + event for channel in _CHANNELS for event in _EVENTS}
"""Action types of Meta's Insights documentation, and what real accounts have shown."""

CUSTOM_TYPES = ("offsite_conversion.custom.%", "app_custom_event.%", "offline_conversion.custom.%")
"""Prefixes (SQL ``like``) that advertisers' own events stand under."""


@lru_cache(maxsize=1)
def known_types() -> frozenset[str]:
    """Meta's types and those of the dbt seed of conversions."""
    with (DBT_PROJECT_DIR / "seeds" / "conversion_actions.csv").open(newline="") as seed:
        return KNOWN_TYPES | {row["action_type"] for row in csv.DictReader(seed)}


def tell_unknown(database: Database, reported: Iterable[str]) -> None:
    """Tell an admin of each unknown type once; close the alerts of those that are known by now.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    for name in sorted(set(reported))[:_MOST_TYPES_TOLD]:
        open_alert(database, _alert(name))
    for raised in list_open_alerts(database):
        alert = raised.alert
        if alert.kind == KIND and alert.subject.removeprefix("action type ") in known_types():
            close_alerts(database, alert.subject, [KIND])


def _alert(action_type: str) -> Alert:
    return Alert(
        kind=KIND,
        subject=f"action type {action_type}",
        severity=Severity.INFO,
        message=f"Meta reports an action type that no list names: {action_type}",
        what_to_do="If it is a conversion, add it to dbt_project/seeds/conversion_actions.csv; "
        "else to meta_ads_pipeline/quality/action_types.py.",
    )
