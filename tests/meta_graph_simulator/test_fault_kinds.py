"""Kinds of trouble beyond the plain errors: what a client sees while each is in force."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest

from meta_graph_simulator.faults.table import KINDS
from tests.meta_graph_simulator.conftest import GraphClient

WEEK = {"since": "2026-11-09", "until": "2026-11-15"}
DAILY = {"level": "ad", "time_increment": 1, "time_range": WEEK, "limit": 500}
HOURLY = DAILY | {"breakdowns": ["hourly_stats_aggregated_by_advertiser_time_zone"]}
ROW = "ad_id,spend,impressions,actions,action_values"


def message(graph: GraphClient, path: str, **params: Any) -> str:
    return str(graph.error(graph.get(path, **params))["message"])


def test_every_kind_says_what_it_does_and_names_its_parameters() -> None:
    for name, kind in KINDS.items():
        assert name == kind.name
        assert kind.description().endswith((".", "``."))
        assert all(kind.params.values())


# Accounts and tokens


def test_a_lost_account_is_not_listed_and_refused(graph: GraphClient, account: str) -> None:
    fault = graph.control.add_fault("account_lost", account=account)
    assert account not in [item["id"] for item in graph.data("me/adaccounts")]
    assert graph.error(graph.get(account))["code"] == 200
    assert graph.error(graph.get(f"{account}/insights"))["code"] == 200
    graph.control.remove_fault(fault)
    graph.control.add_fault("account_lost", account=account, code=100)
    assert graph.error(graph.get(account))["error_subcode"] == 33


def test_a_refused_account_stays_listed(graph: GraphClient, account: str) -> None:
    graph.control.add_fault("account_refused", account=account, code=10, message="(#10) no")
    assert account in [item["id"] for item in graph.data("me/adaccounts")]
    assert graph.error(graph.get(f"{account}/ads"))["code"] == 10


@pytest.mark.parametrize("subcode", [1404120, 2859009])
def test_two_factor_for_one_account(graph: GraphClient, account: str, subcode: int) -> None:
    graph.control.add_fault("two_factor", match={"account": account}, subcode=subcode)
    error = graph.error(graph.get(account))
    assert (error["code"], error["error_subcode"]) == (415, subcode)
    assert graph.get("me/adaccounts").status_code == 200


def test_a_page_token(graph: GraphClient) -> None:
    graph.control.add_fault("page_token")
    assert graph.ok(graph.get("debug_token", input_token="x"))["data"]["type"] == "PAGE"
    assert "node type (Page)" in message(graph, "me/adaccounts")


@pytest.mark.parametrize("timezone", [{"timezone": "Mars/Olympus"}, {"timezone": ""}, {}])
def test_unusable_timezones(graph: GraphClient, account: str, timezone: dict[str, str]) -> None:
    graph.control.add_fault("unusable_timezone", account=account, **timezone)
    own = graph.ok(graph.get(account, fields="timezone_name,currency"))
    listed = graph.data("me/adaccounts", fields="timezone_name")
    assert own.get("timezone_name") == timezone.get("timezone")
    assert listed[0].get("timezone_name") == timezone.get("timezone")
    assert "timezone_name" in listed[1]


# Fields and filters


@pytest.mark.parametrize(
    ("wording", "said"),
    [
        ("plural", "reach, frequency are not valid for fields param"),
        ("nonexisting", "nonexisting field (reach)"),
        ("words", "Reach and Frequency can no longer"),
        ("nameless", "(#100) Invalid parameter"),
    ],
)
def test_refused_fields(graph: GraphClient, account: str, wording: str, said: str) -> None:
    fields = ["reach", "frequency"]
    graph.control.add_fault("refused_fields", fields=fields, wording=wording, blame=True)
    response = graph.get(f"{account}/insights", fields="spend,reach,frequency")
    error = graph.error(response)
    assert said in error["message"]
    assert error["error_data"] == {"blame_field_specs": [["fields[1]"], ["fields[2]"]]}
    assert graph.get(f"{account}/insights", fields="spend").status_code == 200


@pytest.mark.parametrize(
    ("wording", "said"),
    [("nameless", "Missing perms"), ("application", "does not have permission"), ("named", "body")],
)
def test_missing_permission(graph: GraphClient, account: str, wording: str, said: str) -> None:
    graph.control.add_fault("missing_permission", fields=["body"], wording=wording, code=10)
    error = graph.error(graph.get(f"{account}/adcreatives", fields="name,body"))
    assert error["code"] == 10
    assert said in error["message"]
    nested = graph.get(f"{account}/ads", fields="name,creative{title,body}")
    assert graph.error(nested)["code"] == 10
    assert graph.get(f"{account}/adcreatives", fields="name").status_code == 200


def test_refused_filter_values_and_filters(graph: GraphClient, account: str) -> None:
    graph.control.add_fault("refused_filter_value", value="ARCHIVED")
    statuses = {"effective_status": ["ACTIVE", "ARCHIVED"]}
    assert "effective_status[1]" in message(graph, f"{account}/ads", **statuses)
    condition = {"field": "ad.effective_status", "operator": "IN", "value": ["ARCHIVED"]}
    assert "filtering[0]" in message(graph, f"{account}/insights", filtering=[condition])
    assert graph.get(f"{account}/ads", effective_status=["ACTIVE"]).status_code == 200
    graph.control.add_fault("refused_filter", field="ad.effective_status")
    allowed = condition | {"value": ["ACTIVE"]}
    assert "not supported" in message(graph, f"{account}/insights", filtering=[allowed])


@pytest.mark.parametrize("language", ["es", "de", "ja"])
def test_errors_in_another_language(graph: GraphClient, account: str, language: str) -> None:
    graph.control.add_fault("localized_errors", language=language)
    graph.control.add_fault("reduce_data", max_days=3)
    params = {"time_range": WEEK, "fields": "spend"}
    response = graph.get(f"{account}/insights", **params)
    assert response.status_code == 500
    assert (graph.error(response)["code"], "reduce" in response.text) == (1, False)
    assert "reduce" in message(graph, f"{account}/insights", locale="en_US", **params)
    text = message(graph, f"{account}/ads", fields="no_such_field")
    assert text.startswith("(#100) ")
    assert "no_such_field" in text


def test_error_data_as_text(graph: GraphClient, account: str) -> None:
    graph.control.add_fault("error_data_text")
    graph.control.add_fault("refused_fields", fields=["spend"], blame=True)
    data = graph.error(graph.get(f"{account}/insights", fields="spend"))["error_data"]
    assert json.loads(data) == {"blame_field_specs": [["fields[0]"]]}


# Pages


def test_pages_without_end(graph: GraphClient, account: str) -> None:
    whole = graph.data(f"{account}/ads")
    graph.control.add_fault("endless_pages", match={"edge": "ads"})
    rows: list[Any] = []
    document = graph.ok(graph.get(f"{account}/ads"))
    cursors = set()
    for _ in range(10):
        rows += document["data"]
        cursors.add(document["paging"]["cursors"]["after"])
        document = graph.ok(
            graph.session.get(document["paging"]["next"] + f"&access_token={graph.token}")
        )
    assert rows == whole
    assert len(cursors) == 10
    assert not document["data"]


def test_a_null_among_objects(graph: GraphClient, account: str) -> None:
    graph.control.add_fault("null_object", times=1)
    data = graph.ok(graph.get(f"{account}/ads"))["data"]
    assert [index for index, item in enumerate(data) if item is None] == [1]


def test_an_object_listed_twice(graph: GraphClient, account: str) -> None:
    graph.control.add_fault("listed_twice", times=1)
    data = graph.ok(graph.get(f"{account}/ads"))["data"]
    assert data[-1] == data[-2]


# Reports


def test_a_result_page_is_missing_once(graph: GraphClient, account: str) -> None:
    graph.control.add_fault("report_page_missing")
    reports = [graph.run_job(account, **DAILY, fields=ROW) for _ in range(2)]
    for report in reports:
        first = graph.ok(graph.get(f"{report}/insights", limit=10))
        following = first["paging"]["next"]
        assert graph.error(graph.session.get(following))["error_subcode"] == 33
        assert graph.session.get(following).status_code == 200


@pytest.mark.parametrize("after_first_page", [True, False])
def test_a_report_that_is_not_known_any_more(
    graph: GraphClient, account: str, after_first_page: bool
) -> None:
    report = graph.run_job(account, **DAILY, fields=ROW)
    graph.control.add_fault("report_vanished", after_first_page=after_first_page)
    assert (graph.get(f"{report}/insights", limit=10).status_code == 200) == after_first_page
    if not after_first_page:
        assert graph.error(graph.get(report))["error_subcode"] == 33


# Objects and values


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"subcode": 1443048}, (100, 1443048)),
        ({"code": 1, "subcode": None, "http_status": 500, "message": "Pide menos"}, (1, None)),
    ],
)
def test_one_object_fails_its_page(
    graph: GraphClient, account: str, params: dict[str, Any], code: tuple[int, int | None]
) -> None:
    creative = graph.data(f"{account}/adcreatives")[3]["id"]
    graph.control.add_fault("unreadable_object", id=creative, **params)
    fields = "name,object_story_spec"
    for path in (f"{account}/adcreatives", creative):
        error = graph.error(graph.get(path, fields=fields))
        assert (error["code"], error.get("error_subcode")) == code
    assert graph.get(f"{account}/adcreatives", fields=fields, limit=3).status_code == 200
    assert graph.get(creative, fields="name").status_code == 200


def test_odd_texts_and_numbers(graph: GraphClient, account: str) -> None:
    names = [item["name"] for item in graph.data(f"{account}/ads", fields="name")]
    for variant, tail in (("surrogate", r"\ud83d"), ("nul", r"\u0000"), ("brackets", "[/old]")):
        fault = graph.control.add_fault("odd_text", match={"edge": "ads"}, variant=variant)
        response = graph.get(f"{account}/ads", fields="name", limit=100)
        assert tail in response.text
        assert len(response.json()["data"]) == len(names)
        graph.control.remove_fault(fault)
    graph.control.add_fault("huge_number", match={"edge": "insights"})
    text = graph.get(f"{account}/insights", **DAILY, fields=ROW).text
    assert text.count('"impressions":1e200000') == 1
    graph.control.add_fault("deep_nesting", match={"edge": "adsets"})
    assert "[" * 3000 in graph.get(f"{account}/adsets", fields="targeting").text


def test_changed_shapes_and_odd_fields(graph: GraphClient, account: str) -> None:
    before = graph.data(f"{account}/adsets", fields="targeting,attribution_spec,name")[0]
    one = {"id": before["id"]}
    graph.control.add_fault("changed_shape", field="targeting", **one)
    graph.control.add_fault("changed_shape", field="attribution_spec", **one)
    graph.control.add_fault("odd_field", field="name", value={"text": 5}, **one)
    after, other = graph.data(f"{account}/adsets", fields="targeting,attribution_spec,name")[:2]
    assert after["targeting"] == [before["targeting"]]
    assert after["attribution_spec"] == before["attribution_spec"][0]
    assert after["name"] == {"text": 5}
    assert isinstance(other["targeting"], dict)


# Insights rows


def items(rows: list[dict[str, Any]], field: str) -> Iterator[dict[str, str]]:
    return chain.from_iterable(row.get(field, ()) for row in rows)


def test_days_without_their_rows(graph: GraphClient, account: str) -> None:
    graph.control.add_fault("missing_rows", dates=["2026-11-10"], match={"level": "ad"})
    rows = graph.data(f"{account}/insights", **DAILY, fields=ROW)
    assert {row["date_start"] for row in rows} == {f"2026-11-{d:02d}" for d in (9, *range(11, 16))}
    whole = graph.data(f"{account}/insights", **DAILY | {"level": "account"}, fields=ROW)
    assert len(whole) == 7


@pytest.mark.parametrize("date", [{}, {"date": None}, {"date": "0000-00-00"}, {"date": "soon"}])
def test_a_row_without_a_usable_date(graph: GraphClient, account: str, date: Any) -> None:
    graph.control.add_fault("odd_date", **date)
    first, second = graph.data(f"{account}/insights", **DAILY, fields=ROW)[:2]
    assert first.get("date_start") == date.get("date")
    assert second["date_start"] == "2026-11-09"


def test_late_actions_add_up_over_levels(graph: GraphClient, account: str) -> None:
    ad = graph.data(f"{account}/insights", **DAILY, fields=ROW)[0]["ad_id"]
    graph.control.add_fault("late_actions", ad_id=ad, value=3, before="2026-11-12")
    for params in (DAILY, DAILY | {"level": "account"}):
        rows = graph.data(f"{account}/insights", **params, fields=ROW)
        late = [i for i in items(rows, "actions") if i["action_type"].startswith("offsite_lead")]
        assert [item["value"] for item in late] == ["3", "3", "3"]
    hours = graph.data(f"{account}/insights", **HOURLY, fields=ROW)
    assert not [i for i in items(hours, "actions") if i["action_type"].startswith("offsite_lead")]


def test_reordered_actions_are_the_same(graph: GraphClient, account: str) -> None:
    before = graph.data(f"{account}/insights", **DAILY, fields=ROW)
    graph.control.add_fault("reordered_actions")
    after = graph.data(f"{account}/insights", **DAILY, fields=ROW)
    assert before != after
    assert [sorted(map(str, row.get("actions", []))) for row in before] == [
        sorted(map(str, row.get("actions", []))) for row in after
    ]


def purchases(rows: list[dict[str, Any]], field: str) -> Decimal:
    return sum(
        (Decimal(i["value"]) for i in items(rows, field) if i["action_type"] == "omni_purchase"),
        Decimal(0),
    )


def test_purchases_that_are_not_told_above_the_ad(graph: GraphClient, account: str) -> None:
    by_account = DAILY | {"level": "account"}
    rows = graph.data(f"{account}/insights", **DAILY, fields=ROW)
    fault = graph.control.add_fault("withheld_purchases")
    assert graph.data(f"{account}/insights", **DAILY, fields=ROW) == rows
    assert not purchases(graph.data(f"{account}/insights", **by_account, fields=ROW), "actions")
    graph.control.remove_fault(fault)
    graph.control.add_fault("collaborative_ads")
    fields = f"{ROW},catalog_segment_actions,catalog_segment_value"
    moved = graph.data(f"{account}/insights", **DAILY, fields=fields)
    assert not purchases(moved, "actions")
    assert purchases(moved, "catalog_segment_actions") == purchases(rows, "actions") > 0
    assert purchases(moved, "catalog_segment_value") == purchases(rows, "action_values")


def test_dates_that_are_not_kept(graph: GraphClient, account: str) -> None:
    graph.control.add_fault("old_range", before="2026-11-10")
    assert graph.error(graph.get(f"{account}/insights", **DAILY))["code"] == 3018
    graph.control.clear_faults()
    graph.control.add_fault("old_hours", before="2026-11-12")
    hours = graph.data(f"{account}/insights", **HOURLY, fields=ROW)
    assert min(row["date_start"] for row in hours) == "2026-11-12"
    days = graph.data(f"{account}/insights", **DAILY, fields=ROW)
    assert min(row["date_start"] for row in days) == "2026-11-09"


def test_members_of_a_batch_are_rate_limited(graph: GraphClient, account: str) -> None:
    graph.control.add_fault("rate_limit", match={"batch": True}, code=80004, times=1)
    member = {"method": "GET", "relative_url": f"{account}?fields=name"}
    items = graph.ok_list(graph.post("", batch=[member, member]))
    assert [item["code"] for item in items] == [400, 200]
    assert graph.get(account).status_code == 200
