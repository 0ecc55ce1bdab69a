"""Odd values stay where they are: that item is a dead letter, whatever it is; the rest lands."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.slices import Attempt
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN
from meta_ads_pipeline.meta_api.insights_query import InsightsQuery, check_rows
from meta_ads_pipeline.meta_api.session import MOST_LEVELS, TOO_DEEP, parse_json
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.entities import ENTITY_TABLES, normalize_entities
from meta_ads_pipeline.raw.load import PulledRows, load_insights
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_insights import pull_insights
from tests.raw.fake_reader import FakeReader
from tests.raw.insights_rows import DAY, ad_row, days, hour_row

DAILY, HOURLY = INSIGHTS_TABLES["insights_daily"], INSIGHTS_TABLES["insights_hourly"]
PULLED_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def nested(levels: int, inner: str = "1") -> str:
    return '{"a":' * levels + inner + "}" * levels


ODD = [
    "null",
    "7",
    '"text"',
    "[]",
    "1e200000",
    "-1e99999999999999999999",
    "9" * 5000,
    r'"\ud83d"',
    r'"\u0000"',
    r'{"\ud83d": "\u0000"}',
    "{}",
    "true",
    nested(300),
    nested(50_000),
    '["' + "x" * 300_000 + '"]',
]


@pytest.fixture
def land(database, account):
    pulls = iter(range(10_000))

    def land(rows, dates=(DAY,), table=DAILY):
        at = PULLED_AT + timedelta(seconds=next(pulls))
        pulled = PulledRows(rows, list(dates), "v26.0", at)
        return load_insights(database, account, table, pulled, Attempt("s", "r")).counts

    return land


def stored(database, table=DAILY):
    with database.connect() as connection:
        rows = connection.execute(
            f"select ad_id, spend, actions from {table.name} order by event_date, ad_id".encode()
        )
        return rows.fetchall()


@pytest.mark.parametrize("field", ["spend", "impressions", "actions", "date_start", "ad_id", "row"])
def test_an_odd_value_is_that_rows_dead_letter(database, land, field):
    odd = parse_json(f"[{','.join(ODD)}]".encode())
    rows = odd if field == "row" else [ad_row(n, **{field: odd[n]}) for n in range(len(odd))]
    land([*rows, ad_row(77)])
    assert "1277" in {row["ad_id"] for row in stored(database)}


@pytest.mark.parametrize("field", ["date_start", "ad_id", "spend", "row"])
def test_odd_values_of_a_past_day_are_dead_letters_of_its_pull(database, account, field):
    odd = parse_json(f"[{','.join(ODD)}]".encode())
    rows = odd if field == "row" else [ad_row(n, **{field: odd[n]}) for n in range(len(odd))]
    reader, dates = FakeReader(), days(2)
    reader.insights = {DAY: [*rows, ad_row(77)], dates[1]: [ad_row(78, dates[1])]}
    asked = Account("1", "Europe/Berlin", "EUR")
    reports = pull_insights(database, reader, asked, "insights_daily", dates, PullContext("s", "r"))
    assert [report.partition_date for report in reports] == dates
    assert {"1277", "1278"} <= {row["ad_id"] for row in stored(database)}
    with database.connect() as connection:
        letters = connection.execute("select count(*) as n from control.dead_letters").fetchone()
    assert letters["n"] > 0


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["spend", "clicks", "actions", "conversions", "reach", "ad_id", "date_start", "account_id"]
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(FIELDS, JSON, min_size=1, max_size=3))
def test_no_value_keeps_the_other_rows_from_landing(database, land, changes):
    land([ad_row(1), ad_row(2)])
    land([{**ad_row(1), **changes}, ad_row(2, spend="5.01")])
    # The odd row is what it was or what it became, never gone because of the oddity.
    kept = {row["ad_id"]: row["spend"] for row in stored(database)}
    assert kept["1202"] == Decimal("5.01")
    moved = changes.get("ad_id"), changes.get("date_start")
    assert "1201" in kept or moved != (None, None)


def test_a_row_rejected_for_one_measure_stays_as_it_was(database, land):
    land([ad_row(1, spend="3.00"), ad_row(2, spend="4.00"), ad_row(3)])
    counts = land([ad_row(1, impressions="many"), ad_row(2, spend="4.50")])[DAY]
    assert (counts.deleted, counts.dead_lettered) == (1, 1)  # ad 3 has vanished, ad 1 has not
    assert [(row["ad_id"], row["spend"]) for row in stored(database)] == [
        ("1201", Decimal("3.00")),
        ("1202", Decimal("4.50")),
    ]


def test_a_row_without_a_usable_date_keeps_its_ads_rows_of_every_date(database, land):
    both = days(2)
    land([ad_row(n, day) for n in (1, 2) for day in both], both)
    counts = land([ad_row(1, date_start="2026-13-45"), *(ad_row(2, d) for d in both)], both)
    assert sum(each.deleted for each in counts.values()) == 0
    assert len(stored(database)) == 4


def test_an_hour_that_cannot_be_read_keeps_that_ads_hours(database, land):
    land([hour_row(n, hour=h) for n in (1, 2) for h in range(3)], table=HOURLY)
    label = {HOURLY_BREAKDOWN: "half past two"}
    land([hour_row(1, hour=0), hour_row(1, **label), hour_row(2, hour=0)], table=HOURLY)
    kept = [row["ad_id"] for row in stored(database, HOURLY)]
    assert kept == ["1201", "1201", "1201", "1202"]


def test_an_answer_is_refused_only_where_none_of_it_fits():
    query = InsightsQuery("1", "ad", "day", DAY, DAY)
    check_rows(query, [None, ad_row(1, date_start="soon"), ad_row(2)])
    check_rows(query, [ad_row(1, date_start=7)])
    with pytest.raises(MetaApiError):
        check_rows(query, [ad_row(1, date_start="2020-01-01", date_stop="2020-01-09")])
    with pytest.raises(MetaApiError):
        check_rows(query, [hour_row(1)])


def test_a_row_with_an_hour_among_days_is_no_day(database, land):
    land([ad_row(1), hour_row(2)])
    assert [row["ad_id"] for row in stored(database)] == ["1201"]


def test_what_is_nested_too_deep_is_cut_and_the_rest_is_read():
    deep = parse_json(f'{{"data":[{nested(60_000)},{{"id":"1","n":"]}}\\""}}]}}'.encode())
    assert deep["data"][1] == {"id": "1", "n": ']}"'}
    value, levels = deep["data"][0], 2
    while isinstance(value, dict):
        value, levels = value["a"], levels + 1
    assert (value, levels) == (TOO_DEEP, MOST_LEVELS)


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_document_is_no_obstacle_to_the_others(odd):
    value = parse_json(f"[{odd}]".encode())[0]
    good = {"id": "1", "campaign_id": "2", "adset_id": "3"}
    documents = [value, {**good, "id": "9", "targeting": value}, {**good, "name": value}, good]
    rows, bad = normalize_entities(documents, ENTITY_TABLES["ad"], "1")
    assert "1" in {row.id for row in rows}
    assert len(bad) >= 1
    for row in rows:
        json.loads(row.document)


def test_odd_account_names_land(database):
    reader = FakeReader()
    good = {"currency": "EUR", "timezone_name": "Europe/Berlin"}
    names = ["Books \ud83d", "Nul\0", {"a": 1}, None, "9" * 10_000]
    reader.accounts = [
        {"id": f"act_{n}", "account_status": "9" * 30, "name": name, **good}
        for n, name in enumerate(names, start=1)
    ]
    found = pull_ad_accounts(database, reader, ctx=PullContext("s", "r"))
    assert [account.name for account in found][:4] == ["Books \ufffd", "Nul\ufffd", None, None]
