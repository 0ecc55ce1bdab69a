"""Batch requests."""

from __future__ import annotations

import json
from typing import Any


def test_members_are_answered_in_order(graph: Any, account: str) -> None:
    ads = graph.data(f"{account}/ads", fields="name", limit=2)[:2]
    batch = [
        {"method": "GET", "relative_url": f"{ads[0]['id']}/?fields=name"},
        {"method": "GET", "relative_url": f"v26.0/{ads[1]['id']}?fields=name"},
        {"method": "GET", "relative_url": "5"},
        {"method": "POST", "relative_url": f"{account}/insights", "body": "level=ad"},
    ]
    response = graph.post("", batch=batch)
    items = graph.ok_list(response)
    assert [item["code"] for item in items] == [200, 200, 400, 200]
    assert [json.loads(item["body"]) for item in items[:2]] == ads
    assert json.loads(items[2]["body"])["error"]["error_subcode"] == 33
    assert json.loads(items[3]["body"])["report_run_id"]
    names = {header["name"] for header in items[0]["headers"]}
    assert {"Content-Type", "X-Business-Use-Case-Usage"} <= names


def test_members_are_counted(graph: Any, account: str) -> None:
    graph.control.reset("stats")
    graph.post("", batch=[{"method": "GET", "relative_url": account}] * 7)
    stats = graph.control.stats()
    assert (stats["calls"], stats["http_requests"], stats["batches"]) == (7, 1, 1)
    assert stats["by_edge"] == {"account": 7}
    assert all(call["in_batch"] for call in graph.control.calls())


def test_headers_can_be_left_out(graph: Any, account: str) -> None:
    batch = [{"method": "GET", "relative_url": account}]
    items = graph.ok_list(graph.post("", batch=batch, include_headers="false"))
    assert set(items[0]) == {"code", "body"}


def test_at_most_fifty(graph: Any, account: str) -> None:
    fifty = [{"method": "GET", "relative_url": account}] * 50
    assert len(graph.ok_list(graph.post("", batch=fifty))) == 50
    error = graph.error(graph.post("", batch=[*fifty, fifty[0]]))
    assert error["type"] == "GraphBatchException"


def test_null_items(graph: Any, account: str) -> None:
    graph.control.reset("stats")
    graph.control.add_fault("null_batch_item", times=1, after=1)
    items = graph.post("", batch=[{"method": "GET", "relative_url": account}] * 3).json()
    assert [item is None for item in items] == [False, True, False]
    assert graph.control.stats()["calls"] == 2


def test_faults_of_members_and_of_the_batch(graph: Any, account: str) -> None:
    batch = [{"method": "GET", "relative_url": account}] * 2
    graph.control.add_fault("transient", times=1, code=2)
    items = graph.ok_list(graph.post("", batch=batch))
    assert [item["code"] for item in items] == [500, 200]
    graph.control.add_fault("transient", match={"edge": "batch"}, times=1, code=960)
    assert graph.error(graph.post("", batch=batch))["code"] == 960
    assert len(graph.ok_list(graph.post("", batch=batch))) == 2


def test_malformed_batches(graph: Any) -> None:
    for batch in ("[", '{"a": 1}'):
        assert graph.error(graph.post("", batch=batch))["code"] == 100
    items = graph.ok_list(graph.post("", batch=[{"method": "GET"}]))
    assert items[0]["code"] == 400


def test_multipart_body(graph: Any, account: str) -> None:
    batch = json.dumps([{"method": "GET", "relative_url": account}])
    response = graph.session.post(
        graph.url(""), files={"batch": (None, batch), "access_token": (None, "T")}
    )
    assert response.json()[0]["code"] == 200
