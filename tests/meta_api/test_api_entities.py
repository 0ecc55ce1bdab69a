"""Entities: what is asked for, what is given up when Meta refuses it, and what a read costs."""

import json
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError
from meta_ads_pipeline.meta_api.fields import ACCOUNT_FIELDS, ENTITY_FIELDS
from meta_ads_pipeline.meta_api.session import parse_json
from tests.meta_api.scripted_graph import Reply, Request, ScriptedGraph, error, page


def gone(field: str) -> Reply:
    return error(100, f"(#100) Tried accessing nonexisting field ({field}) on node type (Ad)")


def asked_fields(request: Request) -> set[str]:
    return set(request.params["fields"].split(","))


def batch_urls(request: Request) -> list[str]:
    return [member["relative_url"] for member in request.json("batch")]


def member(body: object, code: int = 200) -> dict:
    return {"code": code, "headers": [], "body": json.dumps(body)}


def not_found(node_id: str) -> dict:
    body = {"error": {"code": 100, "error_subcode": 33, "message": f"no {node_id}"}}
    return member(body, 400)


@pytest.mark.parametrize(
    ("method", "kind", "edge"),
    [
        ("get_campaigns", "campaign", "campaigns"),
        ("get_adsets", "adset", "adsets"),
        ("get_ads", "ad", "ads"),
        ("get_creatives", "creative", "adcreatives"),
    ],
)
def test_lists_ask_for_every_field_and_archived_objects(
    method: str, kind: str, edge: str, graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    document = {"id": "120330000008135715", "daily_budget": "500", "odd": None}
    graph.reply(page([document]))
    assert getattr(client, method)("act_7") == [document]
    (request,) = graph.requests
    assert request.path == f"/v26.0/act_7/{edge}"
    assert asked_fields(request) == set(ENTITY_FIELDS[kind])
    assert request.params["limit"] == "500"
    if kind == "creative":
        assert "effective_status" not in request.params
    else:
        assert "ARCHIVED" in request.json("effective_status")
        assert "DELETED" not in request.json("effective_status")


def test_accounts(graph: ScriptedGraph, client: MetaAdsClient) -> None:
    graph.reply(page([{"id": "act_1"}], "c", more=True), page([{"id": "act_2"}]))
    assert [each["id"] for each in client.get_accounts()] == ["act_1", "act_2"]
    assert graph.requests[0].path == "/v26.0/me/adaccounts"
    assert asked_fields(graph.requests[0]) == set(ACCOUNT_FIELDS)


def test_a_vanished_field_goes_alone_and_is_asked_once(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(gone("tracking_specs"), gone("issues_info"), page([{"id": "1"}]), page([]))
    assert client.get_ads("1") == [{"id": "1"}]
    client.get_ads("2")
    expected = set(ENTITY_FIELDS["ad"]) - {"tracking_specs", "issues_info"}
    assert [asked_fields(each) for each in graph.requests[2:]] == [expected, expected]
    assert set(client.dropped_fields["ad"]) == {"tracking_specs", "issues_info"}
    assert "nonexisting" in client.dropped_fields["ad"]["issues_info"]


def test_a_vanished_account_field(graph: ScriptedGraph, client: MetaAdsClient) -> None:
    graph.reply(gone("balance"), Reply({"id": "act_1"}), gone("business"), page([{"id": "act_1"}]))
    assert client.get_account("1") == {"id": "act_1"}
    assert client.get_accounts() == [{"id": "act_1"}]
    assert set(client.dropped_fields["account"]) == {"balance", "business"}


def test_a_field_that_was_not_asked_for_cannot_be_dropped(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(gone("never_asked"))
    with pytest.raises(MetaApiError) as caught:
        client.get_ads("1")
    assert caught.value.kind is ErrorKind.INVALID
    assert len(graph.requests) <= 4


def test_objects_by_id_without_account_come_in_batches(
    graph: ScriptedGraph, client: MetaAdsClient, calls: list
) -> None:
    wanted = [str(number) for number in range(120)]

    def handle(request: Request) -> Reply:
        found = [urlsplit(url).path.strip("/") for url in batch_urls(request)]
        return Reply([member({"id": each}) if each != "7" else not_found("7") for each in found])

    graph.handler = handle
    documents, errors = client.get_objects([*wanted, "0"], "ad")
    assert [each["id"] for each in documents] == [each for each in wanted if each != "7"]
    assert list(errors) == ["7"]
    assert errors["7"].kind is ErrorKind.PERMISSION
    assert [len(batch_urls(each)) for each in graph.requests] == [50, 50, 20]
    assert sum(record.calls for record in calls) == 120
    (url, *_) = batch_urls(graph.requests[0])
    assert set(parse_qs(urlsplit(url).query)["fields"][0].split(",")) == set(ENTITY_FIELDS["ad"])


def test_members_that_were_not_run_or_failed_for_a_moment_are_sent_again(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    flaky = member({"error": {"code": 2, "message": "later"}}, 500)
    limited = member({"error": {"code": 17, "message": "limit"}}, 400)
    graph.reply(
        Reply([member({"id": "1"}), None, flaky, limited]),
        Reply([None, member({"id": "3"}), member({"id": "4"})]),
        Reply([member({"id": "2"})]),
    )
    documents, errors = client.get_objects(["1", "2", "3", "4"], "campaign")
    assert [each["id"] for each in documents] == ["1", "2", "3", "4"]
    assert errors == {}
    sent = [[urlsplit(url).path.strip("/") for url in batch_urls(each)] for each in graph.requests]
    assert sent == [["1", "2", "3", "4"], ["2", "3", "4"], ["2"]]


def test_members_that_never_run_are_errors_not_losses(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.handler = lambda request: Reply([None] * len(batch_urls(request)))
    documents, errors = client.get_objects(["1", "2"], "ad")
    assert documents == []
    assert {each.kind for each in errors.values()} == {ErrorKind.TRANSIENT}
    assert set(errors) == {"1", "2"}


@pytest.mark.parametrize("body", [{"x": 1}, [None]])
def test_a_batch_answer_of_the_wrong_shape(
    body: object, graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(Reply(body))
    with pytest.raises(MetaApiError, match="wrong length"):
        client.get_objects(["1", "2"], "ad")


def test_by_id_within_an_account_one_filtered_list_replaces_a_hundred_calls(
    graph: ScriptedGraph, client: MetaAdsClient, calls: list
) -> None:
    """Deleted objects that the list leaves out are read one by one."""
    wanted = [str(number) for number in range(230)]
    deleted = {"5", "115", "229"}

    def handle(request: Request) -> Reply:
        if request.method == "POST":
            found = [urlsplit(url).path.strip("/") for url in batch_urls(request)]
            return Reply([member({"id": each, "status": "DELETED"}) for each in found])
        (condition,) = request.json("filtering")
        assert (condition["field"], condition["operator"]) == ("ad.id", "IN")
        return page([{"id": each} for each in condition["value"] if each not in deleted])

    graph.handler = handle
    documents, errors = client.get_objects(wanted, "ad", account_id="1")
    assert [each["id"] for each in documents] == wanted
    assert errors == {}
    assert [each["id"] for each in documents if "status" in each] == ["5", "115", "229"]
    assert sum(record.calls for record in calls) == 3 + 3
    assert all(len(str(each.query)) < 5000 for each in graph.requests)


def test_a_refused_id_filter_falls_back_to_reading_by_id(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    def handle(request: Request) -> Reply:
        if request.method == "GET":
            return error(100, "(#100) filtering on ad.id is not supported")
        found = [urlsplit(url).path.strip("/") for url in batch_urls(request)]
        return Reply([member({"id": each}) for each in found])

    graph.handler = handle
    for _ in range(2):
        documents, _errors = client.get_objects(["1", "2", "3"], "ad", account_id="1")
        assert [each["id"] for each in documents] == ["1", "2", "3"]
    # With DELETED, with no status, by id; then by id at once.
    methods = [each.method for each in graph.requests]
    assert methods[-2:] == ["POST", "POST"]
    assert methods.count("GET") <= 3


def test_no_ids_cost_no_call(graph: ScriptedGraph, client: MetaAdsClient) -> None:
    assert client.get_objects([], "ad", account_id="1") == ([], {})
    assert graph.requests == []


def test_observed_entities_pass_through_unchanged(
    samples: Path, graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    """What the API once sent comes out as it went in, whatever odd keys it has."""
    seen = 0
    for file in sorted((samples / "entities").glob("*.json")):
        document = json.loads(file.read_text())
        body = document.get("response", document)
        if "data" in body:
            graph.reply(Reply(file.read_bytes() if "data" in document else body))
            assert client.get_campaigns("1") == json.loads(
                json.dumps(body["data"]), parse_float=Decimal
            )
        else:
            graph.reply(Reply(file.read_bytes()))
            assert client.get_account("1") == body
        seen += 1
    assert seen >= 7
    assert parse_json(b'{"id": "120330000008135715"}')["id"] == "120330000008135715"
