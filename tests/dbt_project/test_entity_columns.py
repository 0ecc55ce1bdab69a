"""What analysts ask of an entity is a column of its dimension, beside Meta's document."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .warehouse import DIMENSIONS, Warehouse

ISSUE = {"level": "AD_SET", "error_code": 2460003, "error_summary": "Audience too narrow"}


def _one(warehouse: Warehouse, table: str, key: str, value: str) -> dict[str, Any]:
    (row,) = warehouse.rows(f"select * from marts.{table} where {key} = %s", value)
    return row


def test_targeting_learning_and_promoted_object(warehouse: Warehouse) -> None:
    warehouse.account()
    warehouse.entity(
        "adsets",
        "32",
        "1",
        {
            "configured_status": "PAUSED",
            "targeting": {
                "age_min": 25,
                "age_max": 54,
                "genders": [2],
                "geo_locations": {
                    "countries": ["DE", "AT"],
                    "regions": [{"key": "1", "name": "Bavaria"}],
                    "cities": [{"key": "2", "name": "Graz", "radius": 10}],
                    "location_types": ["home", "recent"],
                },
                "excluded_geo_locations": {"countries": ["CH"]},
                "flexible_spec": [
                    {"interests": [{"id": "3", "name": "Hiking"}]},
                    {"interests": [{"id": "4", "name": "Design"}, {"id": "3", "name": "Hiking"}]},
                ],
                "exclusions": {"interests": [{"id": "5", "name": "Golf"}]},
                "custom_audiences": [{"id": "6", "name": "Buyers"}],
                "publisher_platforms": ["instagram", "facebook"],
                "targeting_automation": {"advantage_audience": 0},
            },
            "bid_constraints": {"roas_average_floor": 15250},
            "promoted_object": {"pixel_id": "7", "custom_event_type": "PURCHASE"},
            "attribution_spec": [
                {"event_type": "CLICK_THROUGH", "window_days": 7},
                {"event_type": "VIEW_THROUGH", "window_days": 1},
                {"event_type": "ENGAGED_VIDEO_VIEW", "window_days": 1},
            ],
            "learning_stage_info": {
                "status": "FAIL",
                "conversions": 12,
                "last_sig_edit_ts": 1763500000,
            },
            "issues_info": [ISSUE],
        },
        campaign_id="21",
    )
    warehouse.build(models=DIMENSIONS)
    adset = _one(warehouse, "dim_adsets", "adset_id", "32")
    expected = {
        "configured_status": "PAUSED",
        "minimum_roas": Decimal("1.5250"),
        "bid_constraints": {"roas_average_floor": 15250},
        "targeting_age_min": 25,
        "targeting_age_max": 54,
        "targeting_genders": ["female"],
        "targeting_country_codes": ["AT", "DE"],
        "targeting_excluded_country_codes": ["CH"],
        "targeting_country_groups": None,
        "targeting_regions": ["Bavaria"],
        "targeting_cities": ["Graz"],
        "targeting_location_types": ["home", "recent"],
        "targeting_interests": ["Design", "Hiking"],
        "targeting_audiences": ["Buyers"],
        "targeting_platforms": ["facebook", "instagram"],
        "targeting_advantage_audience": False,
        "promoted_pixel_id": "7",
        "promoted_page_id": None,
        "custom_event_type": "PURCHASE",
        "attribution_windows": ["7d_click", "1d_view", "1d_ev"],
        "learning_status": "FAIL",
        "learning_last_edit_at": datetime.fromtimestamp(1763500000, UTC),
        "issues_count": 1,
        "issue_summaries": ["Audience too narrow"],
        "issues": [ISSUE],
    }
    assert {name: adset[name] for name in expected} == expected
    assert adset["targeting"]["exclusions"] == {"interests": [{"id": "5", "name": "Golf"}]}
    bare = _one(warehouse, "dim_adsets", "adset_id", "31")
    assert {name: bare[name] for name in expected if name != "issues_count"} == {
        name: None for name in expected if name != "issues_count"
    }


def test_review_feedback_of_an_ad(warehouse: Warehouse) -> None:
    warehouse.account()
    feedback = {
        "global": {"UNREALISTIC_OUTCOMES": "Your ad makes claims that cannot be verified."},
        "placement_specific": {"instagram": {"LOW_QUALITY": "Too much text."}},
    }
    document = {
        "configured_status": "ACTIVE",
        "ad_review_feedback": feedback,
        "conversion_domain": "shop.example",
    }
    ids = {"campaign_id": "21", "adset_id": "31"}
    warehouse.entity("ads", "1", "1", document, **ids)
    warehouse.build(models=DIMENSIONS)
    ad = _one(warehouse, "dim_ads", "ad_id", "1")
    assert ad["review_reasons"] == ["LOW_QUALITY", "UNREALISTIC_OUTCOMES"]
    assert ad["review_feedback"] == feedback
    assert ad["conversion_domain"] == "shop.example"
    assert ad["configured_status"] == "ACTIVE"
    assert _one(warehouse, "dim_ads", "ad_id", "2")["review_reasons"] is None


def test_creatives_of_every_format(warehouse: Warehouse) -> None:
    """Wherever Meta puts it: on the creative, in the story, on the cards, in the asset feed."""
    warehouse.account()
    button = {"type": "SHOP_NOW", "value": {"link": "https://www.x.example/v"}}
    card = {"name": "Card", "image_hash": "i2"}
    link_data = {"link": "https://x.example/c#top", "message": "All", "name": "Head"}
    documents: dict[str, dict[str, Any]] = {
        "image": {"title": "Own", "image_hash": "i1", "link_url": "https://x.example/i"},
        "video": {
            "object_story_spec": {
                "page_id": "8",
                "video_data": {
                    "video_id": "v1",
                    "title": "Clip",
                    "message": "Watch",
                    "call_to_action": button,
                },
            }
        },
        "carousel": {
            "url_tags": "utm_source=fb",
            "object_story_spec": {"link_data": {**link_data, "child_attachments": [card, card]}},
        },
        "dynamic": {
            "asset_feed_spec": {
                "titles": [{"text": "Z"}, {"text": "A"}],
                "bodies": [{"text": "B"}],
                "images": [{"hash": "i3"}, {"hash": "i4"}],
                "link_urls": [{"website_url": "https://shop.x.example/d?utm_term=t"}],
                "call_to_action_types": ["LEARN_MORE"],
            }
        },
        "post": {"effective_object_story_id": "8_9"},
    }
    for name, document in documents.items():
        warehouse.entity("creatives", name, "1", document)
    warehouse.build(models=DIMENSIONS)
    found = {row["creative_id"]: row for row in warehouse.rows("select * from marts.dim_creatives")}
    assert {name: row["media_type"] for name, row in found.items()} == {
        "image": "image",
        "video": "video",
        "carousel": "carousel",
        "dynamic": "dynamic",
        "post": None,
    }
    video = found["video"]
    assert (video["title"], video["body"], video["video_ids"]) == ("Clip", "Watch", ["v1"])
    assert (video["call_to_action_type"], video["page_id"]) == ("SHOP_NOW", "8")
    assert (video["destination_url"], video["destination_domain"]) == (
        "https://www.x.example/v",
        "x.example",
    )
    carousel = found["carousel"]
    assert carousel["destination_url"] == "https://x.example/c?utm_source=fb#top"
    assert (carousel["titles"], carousel["image_hashes"]) == (["Card", "Head"], ["i2"])
    dynamic = found["dynamic"]
    assert (dynamic["title"], dynamic["titles"], dynamic["body"]) == ("Z", ["A", "Z"], "B")
    assert (dynamic["image_hash"], dynamic["image_hashes"]) == ("i3", ["i3", "i4"])
    assert (dynamic["call_to_action_type"], dynamic["utm_term"]) == ("LEARN_MORE", "t")
    assert found["image"]["destination_url"] == "https://x.example/i"
    assert (found["post"]["title"], found["post"]["destination_url"]) == (None, None)


def test_a_dimension_takes_a_new_column_without_a_full_refresh(warehouse: Warehouse) -> None:
    warehouse.account()
    warehouse.entity("adsets", "31", "1", {"configured_status": "PAUSED"}, campaign_id="21")
    warehouse.build(models=DIMENSIONS)
    warehouse.execute("alter table marts.dim_adsets drop column configured_status")
    warehouse.build(models=DIMENSIONS)
    adset = _one(warehouse, "dim_adsets", "adset_id", "31")
    assert adset["configured_status"] == "PAUSED"
