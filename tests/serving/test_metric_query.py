"""Every number is the facts' own: any measure, breakdown, dimension, filter and timezone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.semantic.answer import Answer, ask
from meta_ads_pipeline.semantic.query import Comparison, MetricQuery
from tests.conftest import copy_of_template
from tests.serving.small_marts import DEFAULT, FIRST, LAST, OTHER, fill
from tests.serving.sums_by_hand import LAYER, Facts, expected, queries


@pytest.fixture(scope="module")
def facts_and_database(
    postgres_url: str, template_database: str
) -> Iterator[tuple[Facts, Database]]:
    with copy_of_template(postgres_url, template_database) as database:
        yield Facts(fill(database)), database


@pytest.fixture(scope="module")
def marts(facts_and_database) -> Database:
    return facts_and_database[1]


@pytest.fixture(scope="module")
def facts(facts_and_database) -> Facts:
    return Facts(row for row in facts_and_database[0] if row["workspace_id"] == DEFAULT)


def keyed(answer: Answer, query: MetricQuery) -> dict[tuple, dict[str, Any]]:
    rows = {}
    for row in answer.rows:
        time = row.get("time")
        if isinstance(time, datetime) and time.tzinfo is not None:
            time = time.astimezone(UTC)
        rows[(time, *(row[name] for name in query.groups))] = row
    assert len(rows) == len(answer.rows) == answer.total_rows
    return rows


@pytest.mark.parametrize("raw", [False, True])
@given(query=queries())
@settings(max_examples=25)
def test_every_number_is_the_sum_of_its_facts(facts, marts, raw, query):
    answer = ask(marts, DEFAULT, query, raw=raw)
    rows, sums = keyed(answer, query), expected(facts, query)
    assert rows.keys() == sums.keys()
    for key, row in rows.items():
        for measure in query.measures:
            if measure in answer.unavailable:
                continue
            if measure in LAYER.sums:
                assert row[measure] == sums[key].get(measure)
                continue
            ratio = LAYER.ratios[measure]
            of, over = sums[key].get(ratio.of), sums[key].get(ratio.over)
            if of is None or not over:
                assert row[measure] is None
            else:
                assert abs(row[measure] - ratio.factor * Decimal(of) / Decimal(over)) < 1e-6


@given(query=queries())
@settings(max_examples=10)
def test_what_is_unavailable_is_null_and_no_number_is_hidden_without_a_reason(marts, query):
    answer = ask(marts, DEFAULT, query)
    for measure in query.measures:
        known_by = {LAYER.sums[part].known_by for part in LAYER.parts(measure)}
        if query.breakdown is not None and query.breakdown.is_by_clock and "day" in known_by:
            assert answer.unavailable[measure]
            assert all(row[measure] is None for row in answer.rows)
        elif len(known_by) == 1:
            assert measure not in answer.unavailable


@given(query=queries(), top=st.integers(1, 4))
@settings(max_examples=15)
def test_the_top_groups_and_the_rest_are_everything(marts, query, top):
    if not query.group_by:
        return
    measure = next((m for m in query.measures if m in LAYER.sums), "spend")
    asked = {**query.model_dump(), "measures": (measure,)}
    whole = ask(marts, DEFAULT, MetricQuery(**asked))
    topped = ask(marts, DEFAULT, MetricQuery(**{**asked, "top": top}))

    def total(answer: Answer) -> dict[Any, Any]:
        found: dict[Any, Any] = defaultdict(int)
        for row in answer.rows:
            found[row.get("currency"), str(row.get("time"))] += row[measure] or 0
        return found

    assert total(topped) == total(whole)
    keys = [name for name in topped.columns if name in query.group_by and name != "currency"]
    kept: dict[Any, set] = defaultdict(set)
    for row in topped.rows:
        if not row["is_rest"]:
            kept[row.get("currency")].add(tuple(row[name] for name in keys))
    assert all(len(groups) <= top for groups in kept.values())


@given(query=queries(), compare=st.sampled_from(Comparison))
@settings(max_examples=15)
def test_a_comparison_has_the_numbers_of_the_period_before(marts, query, compare):
    compared = MetricQuery(**{**query.model_dump(), "compare": compare, "breakdown": None})
    first, last = compared.previous_dates
    before = MetricQuery(**{**query.model_dump(), "start": first, "end": last, "breakdown": None})
    rows = keyed(ask(marts, DEFAULT, before), before)
    for key, row in keyed(ask(marts, DEFAULT, compared), compared).items():
        for measure in query.measures:
            was = row[f"previous_{measure}"]
            assert was == (rows[key][measure] if key in rows else None)
            if row[measure] is not None and was:
                change = 100 * (Decimal(row[measure]) - was) / was
                assert abs(row[f"change_{measure}"] - change) < Decimal("1e-5")


def test_days_of_a_comparison_stand_beside_their_own(marts, facts):
    query = MetricQuery(start="2026-10-30", end="2026-11-01", breakdown="day",
                        measures=["clicks"], compare="previous_week")  # fmt: skip
    rows = ask(marts, DEFAULT, query).rows
    assert [row["time"].isoformat() for row in rows] == ["2026-10-30", "2026-10-31", "2026-11-01"]
    for row in rows:
        week_before = row["time"] - timedelta(days=7)
        clicks = [f["clicks"] or 0 for f in facts if f["event_date"] == week_before]
        assert row["previous_clicks"] == sum(clicks)


def test_pages_neither_overlap_nor_leave_out(marts):
    whole = MetricQuery(start=FIRST, end=LAST, breakdown="day", group_by=["ad"], sort=["-clicks"])
    rows = ask(marts, DEFAULT, whole).rows
    paged = []
    while page := ask(
        marts,
        DEFAULT,
        MetricQuery(**{**whole.model_dump(), "limit": 17, "offset": len(paged)}),
    ).rows:
        paged += page
    assert paged == rows


def test_properties_of_entities_group_and_filter_and_entities_have_names(marts, facts):
    query = MetricQuery(start=FIRST, end=LAST, measures=["clicks"], group_by=["objective"],
                        filters={"landing_page": ["https://shop.example/0"]})  # fmt: skip
    (row,) = ask(marts, DEFAULT, query).rows
    assert row["objective"] == "OUTCOME_SALES"
    assert row["clicks"] == sum(
        f["clicks"] or 0 for f in facts if f["ad_id"] and f["ad_id"].endswith("0")
    )
    named = MetricQuery(start=FIRST, end=LAST, group_by=["ad"], limit=1)
    (row,) = ask(marts, DEFAULT, named).rows
    assert row["ad_name"] == f"ad {row['ad']}"


def test_the_smallest_rollup_that_suffices_is_read(marts):
    def read(**options: Any) -> str:
        query = MetricQuery(**{"start": FIRST, "end": LAST, **options})
        return ask(marts, DEFAULT, query).marts[0].removeprefix("marts.")

    assert read() == "account_daily"
    assert read(breakdown="hour") == "account_hourly"
    assert read(timezone="UTC") == "metric_facts"  # has minutes
    assert read(timezone="UTC", start=LAST) == "account_hourly"
    assert read(group_by=["objective"]) == "campaign_daily"
    assert read(filters={"campaign": ["1"]}, breakdown="hour-of-day") == "campaign_hourly"
    assert read(group_by=["adset"]) == "adset_daily"
    assert read(group_by=["creative"]) == "ad_daily"
    assert read(group_by=["ad"], breakdown="hour") == "metric_facts"
    assert read(breakdown="minute") == "metric_facts"


def test_an_answer_says_how_far_it_can_be_trusted(marts):
    def trust(first: str, last: str, **options: Any):
        return ask(marts, DEFAULT, MetricQuery(start=first, end=last, **options)).trust

    settled = trust("2026-10-25", "2026-10-28")
    assert (settled.account_days, settled.is_settled, settled.is_reconciled) == (12, True, True)
    held = trust("2026-10-29", "2026-10-30", filters={"account": ["1"]})
    assert (held.is_settled, held.is_reconciled) == (False, False)
    assert held.held_days == ["act_1 2026-10-30"]
    nothing = trust("2026-10-25", "2026-10-28", filters={"provider": ["google"]})
    assert (nothing.account_days, nothing.is_reconciled) == (0, None)


def test_facts_without_a_time_of_the_day_are_mentioned(marts):
    query = MetricQuery(start=FIRST, end=LAST, breakdown="hour", measures=["spend", "reach"])
    answer = ask(marts, DEFAULT, query)
    assert "known by the day only" in answer.notes[0]
    assert "marts.reach" in answer.unavailable["reach"]


def test_another_workspace_has_its_own_numbers(marts, facts_and_database):
    query = MetricQuery(start=FIRST, end=LAST, measures=["clicks"], group_by=["account"])
    (row,) = ask(marts, OTHER, query).rows
    assert row["account"] == "9"
    filtered = MetricQuery(start=FIRST, end=LAST, filters={"account": ["9"]})
    assert ask(marts, DEFAULT, filtered).rows == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"measures": ["profit"]}, "measures: 'profit' is none of spend"),
        ({"group_by": ["colour"]}, "group_by: 'colour' is none of provider"),
        ({"sort": ["-roas"]}, "sort: 'roas' is none of currency, spend"),
        ({"start": date(2026, 12, 1)}, "is before start"),
        ({"start": date(2010, 12, 1)}, "more than 1200 days"),
        ({"timezone": "UTC+2"}, "is not an IANA timezone"),
        ({"top": 3}, "top: needs group_by"),
        ({"filters": {"ad": ["\x00"]}}, "NUL"),
    ],
)
def test_what_cannot_be_asked_names_the_field(options, said):
    with pytest.raises(ValidationError, match=said.replace("+", r"\+")):
        MetricQuery(**{"start": FIRST, "end": LAST, **options})
