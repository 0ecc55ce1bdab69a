"""What Meta refuses is left out by itself: fields, filter values, objects; in any words."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from meta_ads_pipeline.meta_api.batch import MAX_MEMBERS
from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.config import ListLimits
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError, error_from_envelope
from meta_ads_pipeline.meta_api.fields import ENTITY_FIELDS
from tests.insights_reading import read_insights
from tests.meta_api.insights_graph import DAY, InsightsGraph
from tests.meta_api.scripted_graph import Reply, Request, ScriptedGraph, error, page

Answer = Callable[[str, set[str]], Reply | None]


def serve(graph: ScriptedGraph, ids: list[str], refuse: Callable[..., Reply | None]) -> None:
    """A list of objects with every field asked for; ``refuse`` gets ids, fields and the request."""

    def document(node_id: str, fields: set[str]) -> dict[str, str]:
        return {name: node_id if name == "id" else "x" for name in fields}

    def handle(request: Request) -> Reply:
        if request.method == "POST":
            members = []
            for member in request.json("batch"):
                url = urlsplit(member["relative_url"])
                node_id = url.path.strip("/")
                fields = set(parse_qs(url.query)["fields"][0].split(","))
                reply = refuse([node_id], fields, request) or Reply(document(node_id, fields))
                members.append(
                    {"code": reply.status, "headers": [], "body": json.dumps(reply.body)}
                )
            return Reply(members)
        fields = set(request.params["fields"].split(","))
        if request.path.count("/") == 2:
            node_id = request.path.rsplit("/", 1)[1]
            return refuse([node_id], fields, request) or Reply(document(node_id, fields))
        start, limit = int(request.params.get("after") or 0), int(request.params["limit"])
        on_page = ids[start : start + limit]
        refused = refuse(on_page, fields, request)
        if refused is not None:
            return refused
        more = start + limit < len(ids)
        return page([document(each, fields) for each in on_page], str(start + limit), more=more)

    graph.handler = handle


UNNAMED = [
    error(100, "(#100) Missing perms"),
    error(10, "Berechtigung fehlt"),
    error(200, "(#200) Requires a role that the user lacks", 403),
    error(100, "Invalid parameter", error_subcode=2446999),
    error(3, "(#3) Application does not have the capability to make this API call."),
    error(1815001, "nobody has seen this code"),
]


@pytest.mark.parametrize("refusal", UNNAMED)
@pytest.mark.parametrize("gone", [{"body"}, {"title", "image_url"}, {"instagram_user_id"}])
def test_fields_that_nobody_names_are_found_and_left_out(
    refusal: Reply, gone: set[str], graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    serve(graph, ["1", "2", "3", "4"], lambda _ids, fields, _r: refusal if gone & fields else None)
    rows = client.get_creatives("7")
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    assert set(rows[0]) == set(ENTITY_FIELDS["creative"]) - gone
    assert set(client.dropped_fields["creative/act_7"]) == gone
    before = len(graph.requests)
    client.get_creatives("7")
    assert len(graph.requests) == before + 1  # found out once


@pytest.mark.parametrize(
    "members",
    [
        {"message": "(#100) frequency and reach are not valid for fields param after V27.0"},
        {"message": "(#100) reach, frequency is not valid for fields param. please check"},
        {"message": "Unbekannte Felder: reach, frequency"},
        {"message": "x", "error_data": {"blame_field_specs": [["reach"], ["frequency"]]}},
        {"message": "x", "error_data": '{"blame_field_specs": [["reach", "frequency"]]}'},
        {"message": "(#100) nope"},
    ],
)
def test_insights_fields_go_whatever_names_them(
    members: dict[str, Any], insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    def refuse(request: Request) -> Reply | None:
        fields = request.params.get("fields", "")
        refused = {"reach", "frequency"} & set(fields.strip("[]").replace('"', "").split(","))
        return error(100, **members) if refused else None

    insights.refuse = refuse
    start = DAY - timedelta(days=2)
    result = read_insights(client, account, start, DAY, level="ad", grain="day")
    assert len(result.rows) == 6
    assert set(result.dropped_fields) == {"reach", "frequency"}


@pytest.mark.parametrize("subcode", [2446289, 1443048, 33, 999])
def test_one_broken_creative_keeps_everybody_else_s_story(
    subcode: int, graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    ids = [str(number) for number in range(120)]
    refusal = error(100, "Invalid parameter", error_subcode=subcode)
    serve(
        graph,
        ids,
        lambda on_page, fields, _r: (
            refusal if "77" in on_page and "object_story_spec" in fields else None
        ),
    )
    rows = client.get_creatives("7")
    assert [row["id"] for row in rows] == ids
    assert [row["id"] for row in rows if "object_story_spec" not in row] == ["77"]
    (left,) = rows.left_out
    assert (left.object_id, left.fields) == ("77", ("object_story_spec",))
    assert client.dropped_fields == {}


def test_an_object_that_cannot_be_read_at_all_is_left_out_alone(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    ids = [str(number) for number in range(60)]
    refusal = error(10, "no")
    serve(graph, ids, lambda on_page, fields, _r: refusal if "9" in on_page and len(fields) > 1
          else None)  # fmt: skip
    rows = client.get_adsets("7")
    assert {row["id"] for row in rows} == set(ids) - {"9"}
    assert [(left.object_id, left.fields) for left in rows.left_out] == [("9", ())]
    assert rows.ended_early is None


def test_by_id_many_broken_objects_cost_little_more_than_one(
    graph: ScriptedGraph, client: MetaAdsClient, calls: list
) -> None:
    ids = [str(number) for number in range(30)]
    broken = set(ids[10:25])
    refusal = error(100, "gone", error_subcode=2446211)
    serve(
        graph,
        ids,
        lambda on_page, fields, _r: (
            refusal if broken & set(on_page) and "object_story_spec" in fields else None
        ),
    )
    rows, errors = client.get_objects(ids, "creative")
    assert errors == {}
    assert {row["id"] for row in rows} == set(ids)
    assert {left.object_id for left in rows.left_out} == broken
    assert sum(record.calls for record in calls) <= 30 + 15 + 12


def test_creatives_too_heavy_even_alone_come_without_what_is_heavy(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    ids = [str(number) for number in range(9)]
    too_much = error(1, "Demasiados datos", 500)
    serve(
        graph,
        ids,
        lambda on_page, fields, _r: (
            too_much
            if len(on_page) > 2 or ("4" in on_page and "asset_feed_spec" in fields)
            else None
        ),
    )
    rows = client.get_creatives("7")
    assert [row["id"] for row in rows] == ids
    assert [row["id"] for row in rows if "asset_feed_spec" not in row] == ["4"]
    assert [(left.object_id, left.fields) for left in rows.left_out] == [
        ("4", ("asset_feed_spec",))
    ]


@pytest.mark.parametrize(
    "refusal",
    [
        error(100, "(#100) Param effective_status[3] must be one of {ACTIVE, PAUSED, ARCHIVED}"),
        error(100, "Invalid value IN_PROCESS for effective_status"),
        error(100, "x", error_data={"blame_field_specs": [["effective_status"]]}),
        error(100, "Parameter unbekannt"),
    ],
)
def test_a_refused_status_goes_then_the_filter(
    refusal: Reply, graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    def refuse(_ids: list[str], _fields: set[str], request: Request) -> Reply | None:
        statuses = request.params.get("effective_status", "")
        return refusal if "IN_PROCESS" in statuses else None

    serve(graph, ["1", "2"], refuse)
    assert [row["id"] for row in client.get_ads("7")] == ["1", "2"]
    before = len(graph.requests)
    client.get_ads("7")
    assert len(graph.requests) == before + 1
    assert client.dropped_fields == {}


def test_an_ad_that_may_not_be_seen_costs_its_own_rows(
    insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    insights.ads = [(str(n // 4), str(n // 2), str(100 + n)) for n in range(10)]

    def refuse(request: Request) -> Reply | None:
        shown = {ad for _, _, ad in insights._chosen(request)}
        if request.path.endswith("/ads"):
            return page([{"id": each} for each in sorted(shown)])
        hidden = request.params.get("level") == "ad" and "105" in shown
        return error(10, "(#10) one ad is not yours") if hidden else None

    insights.refuse = refuse
    (part,) = client.iter_insights(account, DAY, DAY, level="ad", grain="day")
    assert {row["ad_id"] for row in part.rows} == {ad for _, _, ad in insights.ads} - {"105"}
    assert [left.object_id for left in part.left_out] == ["105"]
    before = len(insights.requests)
    read_insights(client, account, DAY, DAY, level="ad", grain="day")
    assert len(insights.requests) == before + 1


@pytest.mark.parametrize("code", [1, None])
def test_repeated_failures_of_a_large_request_are_too_much_data_in_any_words(
    code: int | None, insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    def refuse(request: Request) -> Reply | None:
        span = request.json("time_range")
        if span["since"] == span["until"]:
            return None
        return error(code, "Pide menos datos", 500) if code else Reply(b"<html>", 502)

    insights.refuse = refuse
    start = DAY - timedelta(days=3)
    result = read_insights(client, account, start, DAY, level="ad", grain="day")
    assert len(result.rows) == 8


def test_an_outage_ends_soon_and_teaches_nothing(
    insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    insights.refuse = lambda _request: error(1, "An unknown error occurred", 500)
    start = DAY - timedelta(days=30)
    with pytest.raises(MetaApiError) as caught:
        read_insights(client, account, start, DAY, level="ad", grain="day")
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert len(insights.requests) < 60
    insights.refuse = lambda _request: None
    insights.requests.clear()
    read_insights(client, account, start, DAY, level="ad", grain="day")
    assert len(insights.requests) == 1
    assert client.dropped_fields == {}


@pytest.mark.parametrize("limits", [ListLimits(empty_pages=5), ListLimits(pages=7, empty_pages=99)])
def test_a_list_without_end_is_left(
    limits: ListLimits, graph: ScriptedGraph, make_client: Callable[..., MetaAdsClient]
) -> None:
    def handle(request: Request) -> Reply:
        number = int(request.params.get("after") or 0)
        return page([{"id": "1"}] if number == 0 else [], str(number + 1), more=True)

    graph.handler = handle
    rows = make_client(list_limits=limits).get_ads("7")
    assert rows == [{"id": "1"}]
    assert rows.ended_early is not None
    assert "does not end" in str(rows.ended_early)
    assert len(graph.requests) <= 7


def test_limited_members_of_a_batch_are_told_to_the_rate_limiter(
    graph: ScriptedGraph, make_client: Callable[..., MetaAdsClient]
) -> None:
    heard: list[MetaApiError | None] = []

    class Limiter:
        def before_call(self, *_: Any) -> None: ...

        def after_call(self, _a: Any, _u: Any, _usage: Any, error: Any, _calls: Any) -> None:
            heard.append(error)

        def not_made(self, _account: Any) -> None: ...

    limited = {"error": {"code": 17, "message": "limit"}}
    header = json.dumps({"7": [{"type": "ads_management", "estimated_time_to_regain_access": 3}]})
    headers = [{"name": "X-Business-Use-Case-Usage", "value": header}]
    good = {"code": 200, "headers": [], "body": '{"id": "1"}'}
    bad = {"code": 400, "headers": headers, "body": json.dumps(limited)}
    graph.reply(Reply([good, bad]), Reply([{**good, "body": '{"id": "2"}'}]))
    rows, errors = make_client(rate_limiter=Limiter()).get_objects(["1", "2"], "ad", account_id="7")
    assert [row["id"] for row in rows] == ["1", "2"]
    assert errors == {}
    assert [each and each.retry_after_seconds for each in heard] == [180, None]
    assert MAX_MEMBERS == 50


def test_every_call_asks_for_english_texts(graph: ScriptedGraph, client: MetaAdsClient) -> None:
    graph.reply(page([]), Reply([{"code": 200, "headers": [], "body": '{"id": "1"}'}]))
    client.get_ads("1")
    client.get_objects(["1"], "ad")
    first, batch = graph.requests
    assert first.params["locale"] == batch.params["locale"] == "en_US"
    assert "locale=en_US" in batch.json("batch")[0]["relative_url"]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"code": 415, "message": "x"}, "two-factor"),
        ({"code": 10, "error_subcode": 2859009, "message": "x"}, "two-factor"),
        (
            {"code": 100, "message": "Tried accessing nonexisting field (adaccounts) on node type"},
            "Page's token",
        ),
        (
            {
                "code": 100,
                "message": "(#100) Tried accessing nonexisting field (currency) on node type "
                "(Business)",
            },
            "not an ad account's",
        ),
    ],
)
def test_what_cannot_change_by_itself_says_what_it_is(members: dict[str, Any], words: str) -> None:
    found = error_from_envelope(members, http_status=400)
    assert words in str(found)
    assert not found.may_pass
    assert "again" not in found.advice or "connects again" in found.advice
