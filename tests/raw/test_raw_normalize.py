"""Rows of the API -> typed columns: exact, nulls kept, and no row can stop the others."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN
from meta_ads_pipeline.raw.normalize import normalize, parse_decimal
from tests.raw.insights_rows import DAY, ad_row, hour_row

HOURLY = INSIGHTS_TABLES["insights_hourly"]
DAILY = INSIGHTS_TABLES["insights_daily"]
TOTALS = INSIGHTS_TABLES["account_totals"]
ZONE = "America/New_York"


def only(rows, table=DAILY, zone=ZONE):
    """The single normalized row, and the reasons of its problems."""
    normalized = normalize(rows, table, zone)
    record = normalized.frame.to_dict("records")[0]
    return (
        {name: None if value is pd.NA else value for name, value in record.items()},
        [problem.reason for problem in normalized.problems],
    )


def test_an_hourly_row_becomes_typed_columns():
    actions = [{"action_type": "link_click", "value": "8", "7d_click": "8"}]
    row, problems = only([hour_row(hour=5, actions=actions)], HOURLY)
    assert problems == []
    assert row == {
        "event_date": DAY,
        "account_id": "1",
        "campaign_id": "11",
        "adset_id": "21",
        "ad_id": "1201",
        "event_hour": 5,
        "event_at": pd.Timestamp(datetime(2026, 11, 10, 10, tzinfo=UTC)),
        "hour_flag": None,
        "spend": Decimal("12.34"),
        "impressions": 361,
        "clicks": 12,
        "link_clicks": 8,
        "actions": json.dumps(actions, separators=(",", ":")),
    }


def test_a_missing_metric_is_null_and_zero_is_zero():
    row, problems = only([ad_row(spend=None, clicks="0", impressions=None)])
    assert problems == []
    assert (row["spend"], row["clicks"], row["impressions"]) == (None, 0, None)
    assert (row["actions"], row["action_values"], row["reach"]) == (None, None, None)


@given(st.decimals(0, 10**12, places=8, allow_nan=False))
def test_money_keeps_every_digit(amount):
    row, problems = only([ad_row(spend=f"{amount:f}")])
    assert problems == []
    assert f"{row['spend']:f}" == f"{amount:f}"


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_whole_numbers_are_read_from_text_and_from_bare_numbers(number):
    assert only([ad_row(clicks=str(number))])[0]["clicks"] == number
    assert only([ad_row(clicks=number)])[0]["clicks"] == number


def test_bare_json_numbers_are_accepted():
    row, problems = only([ad_row(spend=Decimal("2352.45"), clicks=7, impressions=Decimal("10"))])
    assert problems == []
    assert (row["spend"], row["clicks"], row["impressions"]) == (Decimal("2352.45"), 7, 10)


def test_numbers_of_an_old_sample_keep_their_digits(shared_data: Path):
    text = (shared_data / "api_samples/insights/16.json").read_text()
    sample = json.loads(text, parse_float=Decimal)["with_windows"]
    row, problems = only([ad_row(spend=sample["spend"], actions=sample["actions"])])
    assert problems == []
    assert row["spend"] == Decimal("2352.45")
    assert json.loads(row["actions"]) == sample["actions"]


def test_a_recorded_hour_row_without_delivery_metrics_is_read_without_loss(shared_data: Path):
    sample = json.loads((shared_data / "api_samples/insights/07.json").read_text())
    row, problems = only(sample["data"], HOURLY, sample["_account_timezone"])
    assert problems == []
    assert (row["impressions"], row["spend"], row["clicks"]) == (371, None, None)
    assert row["event_at"] == datetime.fromisoformat(sample["_expected_utc_hour"] + "+00:00")


@pytest.mark.parametrize(
    ("changes", "link_clicks"),
    [
        ({"inline_link_clicks": "8"}, 8),
        ({"inline_link_clicks": None}, None),
        (
            {
                "inline_link_clicks": None,
                "actions": [
                    {"action_type": "post_engagement", "value": "9"},
                    {"action_type": "link_click", "value": "5"},
                ],
            },
            5,
        ),
        (
            {
                "inline_link_clicks": "8",
                "actions": [{"action_type": "link_click", "value": "5"}],
            },
            8,
        ),
        ({"inline_link_clicks": None, "actions": [{"action_type": "like", "value": "5"}]}, None),
    ],
)
def test_link_clicks_come_from_the_metric_or_else_from_the_action(changes, link_clicks):
    row, problems = only([ad_row(**changes)])
    assert problems == []
    assert row["link_clicks"] == link_clicks


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spend": "1,50"}, "spend: expected an exact decimal number, got '1,50'"),
        ({"spend": "NaN"}, "spend: expected an exact decimal number, got 'NaN'"),
        ({"spend": 1.5}, "spend: expected an exact decimal number, got 1.5"),
        ({"spend": True}, "spend: expected an exact decimal number, got True"),
        ({"spend": "1e999999"}, "spend: expected an exact decimal number, got '1e999999'"),
        ({"clicks": "1.5"}, "clicks: expected a whole number, got '1.5'"),
        ({"clicks": "1_0"}, "clicks: expected a whole number, got '1_0'"),
        ({"clicks": "९"}, "clicks: expected a whole number, got '९'"),
        ({"clicks": str(2**63)}, f"clicks: expected a whole number, got '{2**63}'"),
        ({"clicks": []}, "clicks: expected a whole number, got []"),
        ({"clicks": True}, "clicks: expected a whole number, got True"),
        (
            {"inline_link_clicks": "x"},
            "inline_link_clicks: expected a whole number, got 'x'",
        ),
        ({"actions": "x"}, "actions: expected a list of action objects, got 'x'"),
        ({"date_start": "2026-02-30"}, "date_start: expected a date YYYY-MM-DD, got '2026-02-30'"),
        ({"date_start": "20261110"}, "date_start: expected a date YYYY-MM-DD, got '20261110'"),
        ({"ad_id": 1.0}, "ad_id: expected text, got 1.0"),
    ],
)
def test_an_unreadable_value_is_null_and_named(changes, reason):
    row, problems = only([ad_row(**changes)])
    assert problems == [reason]
    column = {"date_start": "event_date", "inline_link_clicks": "link_clicks"}
    (field,) = changes
    assert row[column.get(field, field)] is None


def test_an_unknown_hour_label_is_named():
    row, problems = only([hour_row(**{HOURLY_BREAKDOWN: "24:00:00 - 24:59:59"})], HOURLY)
    assert row["event_hour"] is None
    assert pd.isna(row["event_at"])
    assert problems == [
        f"{HOURLY_BREAKDOWN}: expected an hour label such as '00:00:00 - 00:59:59', "
        "got '24:00:00 - 24:59:59'"
    ]


def test_a_skipped_hour_is_kept_and_flagged():
    row, problems = only([hour_row(day=date(2026, 3, 8), hour=2)], HOURLY)
    assert problems == []
    assert (row["event_hour"], row["hour_flag"]) == (2, "skipped")
    assert row["event_at"] == datetime(2026, 3, 8, 7, tzinfo=UTC)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.floats()
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = [*hour_row(), "actions", "action_values", "reach", "frequency"]


@given(st.lists(JSON | st.dictionaries(st.sampled_from(FIELDS), JSON), max_size=6))
def test_nothing_that_json_can_hold_stops_a_batch(odd_rows):
    rows = [hour_row(1), *odd_rows, hour_row(2)]
    for table in (HOURLY, DAILY, TOTALS):
        frame = normalize(rows, table, ZONE).frame
        assert len(frame) == len(rows)
        assert frame["spend"].iloc[[0, -1]].tolist() == [Decimal("12.34")] * 2


def test_rows_that_are_no_objects_are_named():
    problems = normalize(["x", None, ad_row()], DAILY, ZONE).problems
    assert [(problem.position, problem.reason) for problem in problems] == [
        (0, "row: expected a JSON object, got 'x'"),
        (1, "row: expected a JSON object, got None"),
    ]


@given(st.text())
def test_only_plain_decimal_text_is_money(text):
    try:
        value = parse_decimal(text)
    except ValueError:
        return
    assert text.isascii()
    assert value.is_finite()
