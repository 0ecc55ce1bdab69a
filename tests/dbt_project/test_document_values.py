"""Odd values in Meta's documents: null in their column, a row of warning, all else built."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .warehouse import Warehouse

TABLES = {
    "account": ("ad_accounts", "stg_meta__ad_accounts", "account_id"),
    "campaign": ("campaigns", "stg_meta__campaigns", "campaign_id"),
    "adset": ("adsets", "stg_meta__adsets", "adset_id"),
    "ad": ("ads", "stg_meta__ads", "ad_id"),
    "creative": ("creatives", "stg_meta__creatives", "creative_id"),
}
"""By level: the raw table, the staging view, its key."""

_FIELDS = """
    ad_review_feedback asset_feed_spec attribution_spec balance bid_amount bid_constraints body
    business configured_status created_time daily_budget destination_type disable_reason end_time
    image_hash issues_info learning_stage_info lifetime_budget object_story_spec promoted_object
    spend_cap special_ad_categories start_time stop_time targeting title updated_time url_tags
    video_id
"""
_INNER = """
    age_max age_min advantage_audience bid child_attachments conversions countries event_type
    genders geo_locations global interests last_sig_edit_ts link_data message name
    placement_specific roas_average_floor status targeting_automation text titles video_data
    window_days 0
"""
_TEXTS = """
    0 5,000 65+ N/A auto <50 1e99 1e200000 NaN infinity -0 0x1F 1_000 2026-13-01 now today
    2026-02-30T10:00:00+0100 0000-00-00T00:00:00+0000 1969-12-31T16:00:00-0800 2026-08-01
    2026-08-01T09:00:00+9900 9999-12-31T23:59:59+0000 1785000000 99999999999 true {} [
"""
TEXTS = st.sampled_from(["", *_TEXTS.split()])
SCALARS = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(_INNER.split()), inner, max_size=4),
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def landed(built_warehouse: Warehouse) -> Iterator[Warehouse]:
    """An account with one object of each level, and a healthy one beside each."""
    built_warehouse.empty()
    for account in ("1", "2"):
        built_warehouse.account(account)
        built_warehouse.entity("creatives", f"4{account}", account, {"title": "Sale"})
        built_warehouse.execute(
            "insert into raw.ad_accounts select account_id, name, currency, timezone, '{}', '',"
            f" now(), now(), now() from control.ad_accounts where account_id = '{account}'"
        )
    yield built_warehouse
    built_warehouse.empty()


def patched(
    connection: psycopg.Connection[Any], level: str, document: dict[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The staging row of account 1's object with this document, and its unusable values."""
    table, view, key = TABLES[level]
    connection.execute(
        f"update raw.{table} set document = %s where account_id = '1'", [json.dumps(document)]
    )
    rows = connection.execute(f"select * from staging.{view} order by account_id, 1").fetchall()
    assert {row["account_id"] for row in rows} == {"1", "2"}
    (row, *_) = (row for row in rows if row["account_id"] == "1")
    unusable = connection.execute(
        "select field, expected, value from marts.unusable_values"
        " where account_id = '1' and level = %s and external_entity_id = %s order by field",
        [level, row[key]],
    ).fetchall()
    return row, unusable


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(TABLES)), st.dictionaries(st.sampled_from(_FIELDS.split()), VALUES))
def test_no_value_breaks_a_staging_view(
    landed: Warehouse, level: str, document: dict[str, Any]
) -> None:
    with landed.database.connect() as connection:
        patched(connection, level, document)
        connection.rollback()


ODD = [
    ("adset", {"targeting": {"age_max": "65+"}}, "targeting_age_max", "targeting.age_max"),
    ("adset", {"targeting": {"genders": 1}}, "targeting_genders", "targeting.genders"),
    ("adset", {"targeting": "everyone"}, "targeting", "targeting"),
    ("adset", {"attribution_spec": {"window_days": 7}}, "attribution_windows", "attribution_spec"),
    ("adset", {"daily_budget": "5,000"}, "daily_budget_minor", "daily_budget"),
    ("adset", {"bid_amount": "auto"}, "bid_amount_minor", "bid_amount"),
    ("adset", {"end_time": ""}, "ends_at", "end_time"),
    ("adset", {"start_time": "0000-00-00T00:00:00+0000"}, "starts_at", "start_time"),
    (
        "adset",
        {"learning_stage_info": {"conversions": "<50"}},
        "learning_conversions",
        "learning_stage_info.conversions",
    ),
    (
        "adset",
        {"bid_constraints": {"roas_average_floor": "none"}},
        "minimum_roas",
        "bid_constraints.roas_average_floor",
    ),
    ("campaign", {"stop_time": "2026-13-01"}, "ends_at", "stop_time"),
    ("campaign", {"issues_info": {"level": "AD_SET"}}, "issues", "issues_info"),
    ("ad", {"ad_review_feedback": "none"}, "review_feedback", "ad_review_feedback"),
    ("creative", {"object_story_spec": "x"}, "body", "object_story_spec"),
    ("account", {"disable_reason": "UNUSED"}, "disable_reason", "disable_reason"),
    ("account", {"balance": "1e200000"}, "balance_minor", "balance"),
]


@pytest.mark.parametrize(("level", "document", "column", "field"), ODD)
def test_an_odd_value_is_null_and_named(
    landed: Warehouse, level: str, document: dict[str, Any], column: str, field: str
) -> None:
    with landed.database.connect() as connection:
        row, unusable = patched(connection, level, document)
        connection.rollback()
    assert row[column] is None
    assert [value["field"] for value in unusable] == [field]
    assert unusable[0]["value"] in json.dumps(document)


READ: list[tuple[str, dict[str, Any], str, Any]] = [
    ("adset", {"targeting": {"age_min": 18.0}}, "targeting_age_min", 18),
    ("adset", {"end_time": "0"}, "ends_at", None),
    ("adset", {"end_time": "1969-12-31T16:00:00-0800"}, "ends_at", None),
    ("adset", {"end_time": 1893456000}, "ends_at", datetime(2030, 1, 1, tzinfo=UTC)),
    ("adset", {"targeting": []}, "targeting", None),
    ("adset", {"attribution_spec": None}, "attribution_windows", None),
    (
        "adset",
        {"learning_stage_info": {"last_sig_edit_ts": "2026-08-01T09:00:00+0200"}},
        "learning_last_edit_at",
        datetime(2026, 8, 1, 7, tzinfo=UTC),
    ),
    (
        "adset",
        {"targeting": {"targeting_automation": {"advantage_audience": "1"}}},
        "targeting_advantage_audience",
        True,
    ),
    ("creative", {"asset_feed_spec": None, "image_hash": "a"}, "media_type", "image"),
    ("creative", {"title": 5}, "title", "5"),
]


@pytest.mark.parametrize(("level", "document", "column", "value"), READ)
def test_another_shape_of_a_usable_value_is_read(
    landed: Warehouse, level: str, document: dict[str, Any], column: str, value: Any
) -> None:
    with landed.database.connect() as connection:
        row, unusable = patched(connection, level, document)
        connection.rollback()
    assert row[column] == value
    assert unusable == []


def test_marts_are_built_around_an_odd_value(landed: Warehouse) -> None:
    """One odd document costs its column, not the dimension; the build warns and names it."""
    landed.execute(
        'update raw.adsets set document = document || \'{"daily_budget": "5,000"}\''
        " where account_id = '1'",
        'update raw.adsets set document = document || \'{"daily_budget": "4000"}\''
        " where account_id = '2'",
    )
    result = landed.dbt(
        *("build", "--select", "+dim_adsets", "document_values_are_usable"),
        *("--exclude", "resource_type:unit_test", "path:seeds"),
    )
    assert result.success
    budgets = landed.rows("select account_id, daily_budget::text from marts.dim_adsets order by 1")
    assert [tuple(row.values()) for row in budgets] == [("1", None), ("2", "40.00")]
    (test,) = (r for r in result.result if r.node.name == "document_values_are_usable")
    assert (test.status, test.failures) == ("warn", 1)
