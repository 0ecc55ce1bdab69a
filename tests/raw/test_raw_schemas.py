"""Which rows go on and which become dead letters, and why."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN
from meta_ads_pipeline.raw.normalize import normalize
from meta_ads_pipeline.raw.schemas import validate
from tests.raw.insights_rows import DAY, ad_row, hour_row, hour_rows

HOURLY = INSIGHTS_TABLES["insights_hourly"]
DAILY = INSIGHTS_TABLES["insights_daily"]
TOTALS = INSIGHTS_TABLES["account_totals"]


def sort_rows(rows, table=DAILY, dates=(DAY,)):
    return validate(normalize(rows, table, "America/New_York"), table, "1", dates)


def test_good_rows_go_on_whole():
    valid = sort_rows(hour_rows(2, [DAY]), HOURLY)
    assert (len(valid.frame), valid.bad, valid.repeated) == (48, [], 0)


def test_no_rows_is_a_fine_answer():
    valid = sort_rows([], HOURLY)
    assert (len(valid.frame), valid.bad, valid.repeated) == (0, [], 0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ad_id": None}, "ad_id: expected a value (the field is required)"),
        ({"ad_id": "x1"}, "ad_id: expected an id of digits, got 'x1'"),
        ({"account_id": "2"}, "account_id: expected the account asked for (1), got '2'"),
        (
            {"date_start": "2026-11-11"},
            "date_start: expected one of the dates asked for (2026-11-10 to 2026-11-10), "
            "got 2026-11-11",
        ),
        ({"spend": "-0.01"}, "spend: expected 0 or more, got -0.01"),
        ({"impressions": "-1"}, "impressions: expected 0 or more, got -1"),
        ({"clicks": "many"}, "clicks: expected a whole number, got 'many'"),
        ({"reach": "-3"}, "reach: expected 0 or more, got -3"),
        (
            {"clicks": "x", "ad_id": None},
            "clicks: expected a whole number, got 'x'; "
            "ad_id: expected a value (the field is required)",
        ),
    ],
)
def test_only_the_bad_row_is_held_back_with_field_and_expectation(changes, reason):
    valid = sort_rows([ad_row(1), ad_row(2, **changes), ad_row(3)])
    assert valid.frame["ad_id"].tolist() == ["1201", "1203"]
    (bad,) = valid.bad
    assert (bad.position, bad.reason) == (1, reason)
    assert reason.startswith(bad.field)


def test_an_hourly_row_needs_its_hour():
    valid = sort_rows([hour_row(**{HOURLY_BREAKDOWN: None})], HOURLY)
    assert [bad.reason for bad in valid.bad] == [
        f"{HOURLY_BREAKDOWN}: expected a value (the field is required)"
    ]


def test_a_row_that_is_no_object_has_one_reason():
    assert [bad.reason for bad in sort_rows([7]).bad] == ["row: expected a JSON object, got 7"]


def test_the_same_row_twice_counts_once():
    valid = sort_rows([ad_row(1), ad_row(2), ad_row(1)])
    assert sorted(valid.frame["ad_id"]) == ["1201", "1202"]
    assert (valid.bad, valid.repeated) == ([], 1)


def test_of_two_rows_that_disagree_the_later_is_kept_and_the_earlier_reported():
    valid = sort_rows([ad_row(1, clicks="5"), ad_row(2), ad_row(1, clicks="6")])
    assert dict(zip(valid.frame["ad_id"], valid.frame["clicks"], strict=True)) == {
        "1201": 6,
        "1202": 12,
    }
    (bad,) = valid.bad
    assert bad.position == 0
    assert "a later row of the same pull has other numbers" in bad.reason


def test_a_bad_copy_does_not_cost_the_good_row():
    valid = sort_rows([ad_row(1), ad_row(1, spend="-1")])
    assert len(valid.frame) == 1
    assert [bad.field for bad in valid.bad] == ["spend"]


def test_account_totals_have_one_row_per_day():
    rows = [ad_row(ad_id=None, campaign_id=None, adset_id=None, clicks=str(n)) for n in (1, 2)]
    valid = sort_rows(rows, TOTALS)
    assert valid.frame["clicks"].tolist() == [2]
    assert len(valid.bad) == 1


BAD_CHANGES = (
    {"spend": "-1"},
    {"spend": "?"},
    {"ad_id": None},
    {"account_id": "9"},
    {"date_start": "2020-01-01"},
    {"clicks": "1.1"},
    {HOURLY_BREAKDOWN: "noon"},
)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3),
            st.integers(0, 23),
            st.integers(0, 2),
            st.none() | st.sampled_from(BAD_CHANGES),
        ),
        max_size=40,
    )
)
def test_every_row_is_kept_or_reported_or_a_copy(drawn):
    first = date(2026, 11, 10)
    dates = [first + timedelta(days=n) for n in range(3)]
    rows = [hour_row(ad, dates[n], hour, **(bad or {})) for ad, hour, n, bad in drawn]
    valid = sort_rows(rows, HOURLY, dates)
    assert len(valid.frame) + len(valid.bad) + valid.repeated == len(rows)
    good = {(ad, hour, n) for ad, hour, n, bad in drawn if bad is None}
    kept = valid.frame[["ad_id", "event_hour", "event_date"]].itertuples(index=False)
    assert {(int(a) - 1200, int(h), (d - first).days) for a, h, d in kept} == good
    assert {bad.position for bad in valid.bad} == {
        position for position, drawn_row in enumerate(drawn) if drawn_row[3] is not None
    }
