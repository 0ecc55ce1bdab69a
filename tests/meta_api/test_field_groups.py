"""All fields at once are too much: groups of them, the same rows, one field alone left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.config import PlanLimits, ReportLimits
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError
from meta_ads_pipeline.meta_api.field_groups import merge_rows
from meta_ads_pipeline.meta_api.fields import INSIGHTS_FIELDS
from meta_graph_simulator.config import DEFAULT_TOKEN
from meta_graph_simulator.http.server import SimulatorServer
from tests.insights_reading import read_insights
from tests.meta_api.insights_graph import DAY, ONE_REPORT, InsightsGraph
from tests.meta_api.scripted_graph import Reply, Request, ScriptedGraph, error

REDUCE = error(1, "Please reduce the amount of data you're asking for", 500)
TIMED_OUT = error(100, "(#100) Invalid parameter", error_subcode=1487534)
MODES = pytest.mark.parametrize("limits", [PlanLimits(), ONE_REPORT], ids=["sync", "async"])


def fields_of(request: Request) -> list[str]:
    text = request.params["fields"]
    return json.loads(text) if text.startswith("[") else text.split(",")


class MeasuresGraph(InsightsGraph):
    """Rows have the measures that were asked for; ad 111 has no actions, 211 no reach."""

    def __init__(self, graph: ScriptedGraph) -> None:
        super().__init__(graph)
        self.ads = [("1", "11", "111"), ("1", "12", "121"), ("2", "21", "211")]
        self.failed: list[tuple[Any, ...]] = []
        self.limit: Callable[[Request, int, list[str]], bool] = lambda *_: False
        self.reply = TIMED_OUT
        self.refuse = self._refuse

    def whole(self, row: dict) -> dict:
        """A row with every measure."""
        full = {
            **row,
            **{name: f"{name} of {row.get('ad_id')}" for name in INSIGHTS_FIELDS["day"]},
            "actions": [{"action_type": "link_click", "value": "8"}],
            "action_values": [{"action_type": "omni_purchase", "value": "1.5"}],
        }
        gone = {"111": ("actions", "action_values"), "211": ("reach", "frequency")}
        return {k: v for k, v in full.items() if k not in gone.get(row.get("ad_id", ""), ())}

    def rows(self, request: Request) -> list[dict]:
        fields, measures = fields_of(request), set(INSIGHTS_FIELDS["day"])
        rows = [self.whole(row) for row in super().rows(request)]
        return [{k: v for k, v in row.items() if k not in measures - {*fields}} for row in rows]

    def expected(self, since: date, until: date, level: str = "ad") -> list[dict]:
        return [self.whole(row) for row in self.truth(since, until, level, "day")]

    def _refuse(self, request: Request) -> Reply | None:
        question = self.runs[request.path.split("/")[2]] if "level" not in request.params else None
        question = question or request
        fields = fields_of(question)
        if request.method == "POST" or fields == [f"{question.params['level']}_id"]:
            return None
        if not self.limit(question, len(self.rows(question)), fields):
            return None
        self.failed.append(
            (question.params["time_range"], question.params.get("filtering"), tuple(fields))
        )
        return self.reply


def text(rows: list[dict]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


@pytest.fixture
def measures(graph: ScriptedGraph) -> MeasuresGraph:
    return MeasuresGraph(graph)


@MODES
@pytest.mark.parametrize("cells", [13, 9, 7, 5])
def test_fields_are_split_after_dates_and_objects_and_no_size_is_repeated(
    limits: PlanLimits,
    cells: int,
    measures: MeasuresGraph,
    make_client: Callable[..., MetaAdsClient],
    account: AccountRef,
) -> None:
    """Rows times fields are bounded: below fourteen even one row has too many fields."""
    client = make_client(plan_limits=limits)
    measures.limit = lambda _request, rows, fields: rows * len(fields) > cells
    start = DAY - timedelta(days=2)
    result = read_insights(client, account, start, DAY, level="ad", grain="day")
    assert text(result.rows) == text(measures.expected(start, DAY))
    assert result.dropped_fields == {}
    assert max(Counter(measures.failed).values()) == 1
    # Once a row by itself was too much for some number of fields, no row is asked with so many.
    singles = [
        len(fields) - 4
        for _span, filtering, fields in measures.failed
        if filtering and '"ad.id"' in filtering and len(json.loads(filtering)[-1]["value"]) == 1
    ]
    assert singles == sorted(set(singles), reverse=True)
    before = len(measures.failed)
    read_insights(client, account, start, DAY, level="ad", grain="day")
    assert len(measures.failed) - before <= 3 * 4  # objects are halved anew for each day


@MODES
def test_account_totals_are_split_by_fields_alone(
    limits: PlanLimits,
    measures: MeasuresGraph,
    make_client: Callable[..., MetaAdsClient],
    account: AccountRef,
) -> None:
    client = make_client(plan_limits=limits)
    measures.limit = lambda _request, _rows, fields: len(fields) > 4
    start = DAY - timedelta(days=1)
    for _ in range(2):
        result = read_insights(client, account, start, DAY, level="account", grain="day")
        assert text(result.rows) == text(measures.expected(start, DAY, "account"))
    assert len(measures.failed) == len(set(measures.failed))
    # Both days, one day, then twelve measures to six, to three: no more, ever. Reports that are
    # under way together cannot learn from each other.
    counts = [len(fields) - 1 for _span, _ids, fields in measures.failed]
    assert counts == [12, 12, 6] if limits != ONE_REPORT else len(counts) <= 9


@MODES
@pytest.mark.parametrize("reply", [REDUCE, TIMED_OUT], ids=["reduce", "timed_out"])
def test_a_field_too_much_for_one_object_is_a_hole_there_and_nowhere_else(
    limits: PlanLimits,
    reply: Reply,
    measures: MeasuresGraph,
    make_client: Callable[..., MetaAdsClient],
    account: AccountRef,
) -> None:
    client = make_client(plan_limits=limits)
    measures.reply = reply
    measures.limit = lambda request, _rows, fields: (
        "action_values" in fields
        and any(ad[2] == "121" for ad in measures._chosen(request))
        and DAY.isoformat() == json.loads(request.params["time_range"])["until"]
    )
    start = DAY - timedelta(days=3)
    result = read_insights(client, account, start, DAY, level="ad", grain="day")
    expected = measures.expected(start, DAY)
    for row in expected:
        if row["ad_id"] == "121" and row["date_start"] == DAY.isoformat():
            del row["action_values"]
    assert text(result.rows) == text(expected)
    assert set(result.dropped_fields) == {"action_values"}
    (place,) = client.dropped_fields
    # Two ads in two campaigns: whoever is alone in its campaign is named by that or by itself.
    assert place.startswith(f"insights/ad/day/act_1/{DAY.isoformat()}/")
    asked = [fields_of(each) for each in measures.requests if "fields" in each.params]
    before = len(asked)
    read_insights(client, account, start, DAY - timedelta(days=1), level="ad", grain="day")
    later = [fields_of(each) for each in measures.requests if "fields" in each.params][before:]
    assert all("action_values" in fields for fields in later)  # still asked for elsewhere


def test_a_field_that_fails_for_object_after_object_is_left_out_of_the_account(
    measures: MeasuresGraph, make_client: Callable[..., MetaAdsClient], account: AccountRef
) -> None:
    client = make_client()
    measures.limit = lambda _request, _rows, fields: "reach" in fields
    days = [DAY - timedelta(days=back) for back in range(6)]
    for day in days:
        result = read_insights(client, account, day, day, level="account", grain="day")
        rows = [
            {k: v for k, v in row.items() if k != "reach"}
            for row in measures.expected(day, day, "account")
        ]
        assert text(result.rows) == text(rows)
    assert set(client.dropped_fields) == {
        "insights/account/day/act_1",
        *(f"insights/account/day/act_1/{day}" for day in days[:3]),
    }
    failed = len(measures.failed)
    other = AccountRef("2", "America/New_York", "USD")
    read_insights(client, other, DAY, DAY, level="account", grain="day")
    assert len(measures.failed) > failed  # asked anew: what one account lacks others may have


@MODES
def test_what_a_row_means_nothing_without_fails(
    limits: PlanLimits,
    measures: MeasuresGraph,
    make_client: Callable[..., MetaAdsClient],
    account: AccountRef,
) -> None:
    client = make_client(plan_limits=limits)
    measures.limit = lambda _request, _rows, fields: "spend" in fields
    with pytest.raises(MetaApiError) as caught:
        read_insights(client, account, DAY, DAY, level="account", grain="day")
    assert caught.value.kind is ErrorKind.TOO_MUCH_DATA
    assert len(measures.failed) == len(set(measures.failed)) <= 4


def test_groups_of_several_pages_are_whole(
    measures: MeasuresGraph, make_client: Callable[..., MetaAdsClient], account: AccountRef
) -> None:
    """Parts that are narrowed to objects stay so: they tell what belongs together."""
    client = make_client(plan_limits=PlanLimits(page_size=1))
    measures.limit = lambda _request, rows, fields: rows * len(fields) > 7
    parts = list(client.iter_insights(account, DAY, DAY, level="ad", grain="day"))
    assert {part.query.measures for part in parts} == {()}
    assert len({part.query.only_ids for part in parts}) == len(parts) == 3
    assert text([row for part in parts for row in part.rows]) == text(measures.expected(DAY, DAY))


MEASURES = ("spend", "impressions", "clicks", "reach", "actions")
table = st.lists(
    st.tuples(st.sampled_from("12"), st.sampled_from("34"), st.sets(st.sampled_from(MEASURES))),
    max_size=8,
)


@given(table, st.lists(st.integers(0, 2), min_size=5, max_size=5))
def test_merged_groups_are_the_rows_that_were_split(
    rows: list[tuple[str, str, set[str]]], group_of: list[int]
) -> None:
    """Also where only some groups have a row, measures are missing, or a key repeats."""
    whole = [
        {"ad_id": ad, "date_start": day, "date_stop": day}
        | {name: f"{name}{number}" for name in sorted(present)}
        for number, (ad, day, present) in enumerate(rows)
    ]
    groups = [
        [
            {k: v for k, v in row.items() if k not in MEASURES or group_of[MEASURES.index(k)] == g}
            for row in whole
        ]
        for g in range(3)
    ]
    assert merge_rows(groups, "ad") == merge_rows([whole], "ad")
    assert text(merge_rows(groups, "ad")) == text(whole)
    # A row that only one group has is kept, with what that group said of it.
    extra = {"ad_id": "9", "date_start": "3", "date_stop": "3", "clicks": "1"}
    merged = merge_rows([groups[0], [*groups[1], extra], groups[2]], "ad")
    assert text(merged) == text([*whole, extra])


@MODES
@pytest.mark.parametrize("fault", [{"max_cells": 12}, {"field": "actions"}], ids=str)
def test_against_the_simulator(
    limits: PlanLimits, fault: dict[str, Any], simulator: SimulatorServer
) -> None:
    """Delivery is the truth to the cent, whatever it took; what cannot be had is named."""
    control = simulator.control
    jobs = ReportLimits(first_poll=0.05, longest_poll=0.2)
    plan = replace(limits, page_size=1000)
    with MetaAdsClient(
        access_token=DEFAULT_TOKEN, graph_url=simulator.url, plan_limits=plan, report_limits=jobs
    ) as client:
        document = client.get_accounts()[0]
        ref = AccountRef(document["account_id"], document["timezone_name"], document["currency"])
        day = control.now().date() - timedelta(days=3)
        whole = read_insights(client, ref, day, day, level="ad", grain="day").rows
        control.add_fault("reduce_data", match={"level": "ad"}, variant="1487534", **fault)
        control.add_fault("reduce_data", match={"edge": "report_insights"}, **fault)
        result = read_insights(client, ref, day, day, level="ad", grain="day")
    if "field" in fault:
        assert set(result.dropped_fields) == {"actions"}
        lost = [row for row in result.rows if "actions" not in row]
        assert lost
        kept = [{k: v for k, v in row.items() if k != "actions"} for row in whole]
        found = [{k: v for k, v in row.items() if k != "actions"} for row in result.rows]
        assert text(found) == text(kept)
    else:
        assert text(result.rows) == text(whole)
        assert result.dropped_fields == {}
