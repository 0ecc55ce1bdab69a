"""Faults on demand: each kind as a client sees it, and which calls it strikes."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from meta_graph_simulator.accounts.node_store import NodeStore
from meta_graph_simulator.faults.registry import FaultRegistry
from meta_graph_simulator.faults.table import KINDS
from meta_graph_simulator.http.control_client import ControlError

WEEK = {"since": "2026-11-09", "until": "2026-11-15"}


@pytest.mark.parametrize(
    ("code", "subcode", "status"),
    [(4, None, 403), (17, 2446079, 400), (32, None, 400), (613, None, 400), (80004, None, 400)],
)
def test_single_rate_limit_errors(
    graph: Any, account: str, code: int, subcode: int | None, status: int
) -> None:
    graph.control.add_fault("rate_limit", times=1, code=code, subcode=subcode)
    response = graph.get(account)
    assert response.status_code == status
    assert graph.error(response)["code"] == code
    assert graph.get(account).status_code == 200


@pytest.mark.parametrize("code", [1, 2, 960])
def test_transient_errors(graph: Any, account: str, code: int) -> None:
    graph.control.add_fault("transient", times=2, code=code)
    for _ in range(2):
        response = graph.get(account)
        assert response.status_code == 500
        error = graph.error(response)
        assert (error["code"], error["is_transient"]) == (code, True)
    assert graph.get(account).status_code == 200


def test_any_error(graph: Any, account: str) -> None:
    graph.control.add_fault(
        "error", times=1, code=368, subcode=1390008, message="blocked", http_status=400
    )
    error = graph.error(graph.get(account))
    assert (error["code"], error["error_subcode"], error["message"]) == (368, 1390008, "blocked")


@pytest.mark.parametrize("status", [500, 200, 503])
def test_html_instead_of_json(graph: Any, account: str, status: int) -> None:
    graph.control.add_fault("html", times=1, http_status=status)
    response = graph.get(account)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        response.json()


@pytest.mark.parametrize("params", [{"fraction": 0.5}, {"fraction": 0.0}, {"before_answer": True}])
def test_connection_reset(graph: Any, account: str, params: dict[str, Any]) -> None:
    whole = graph.get(f"{account}/ads", fields="name,targeting", limit=100).content
    graph.control.add_fault("reset", times=1, **params)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        graph.get(f"{account}/ads", fields="name,targeting", limit=100)
    assert graph.get(f"{account}/ads", fields="name,targeting", limit=100).content == whole


def test_reset_sends_part_of_the_body(graph: Any, account: str) -> None:
    graph.control.add_fault("reset", times=1, fraction=0.5)
    with requests.get(
        graph.url(f"{account}/ads"), params={"access_token": "T"}, stream=True, timeout=10
    ) as response:
        assert response.status_code == 200
        promised = int(response.headers["content-length"])
        received = 0
        with pytest.raises((requests.ConnectionError, OSError)) as caught:  # noqa: PT012
            for piece in response.iter_content(64):
                received += len(piece)
    assert 0 < received < promised
    assert "reset" in str(caught.value).lower()


def test_truncated_json_with_status_200(graph: Any, account: str) -> None:
    whole = graph.get(f"{account}/ads").content
    graph.control.add_fault("truncate", times=1, fraction=0.7)
    response = graph.get(f"{account}/ads")
    assert response.status_code == 200
    assert len(response.content) == int(response.headers["content-length"])
    assert whole.startswith(response.content)
    with pytest.raises(requests.exceptions.JSONDecodeError):
        response.json()


@pytest.mark.parametrize("subcode", [458, 460, 463, 467])
def test_dead_token(graph: Any, account: str, subcode: int) -> None:
    graph.control.add_fault("token", times=1, subcode=subcode)
    error = graph.error(graph.get(account))
    assert (error["code"], error["error_subcode"]) == (190, subcode)


def test_cursor_goes_stale_in_the_middle(graph: Any, account: str) -> None:
    graph.control.add_fault("invalid_cursor", times=1)
    first = graph.ok(graph.get(f"{account}/ads", limit=2))
    stale = graph.session.get(first["paging"]["next"])
    assert graph.error(stale)["code"] == 2642
    assert graph.session.get(first["paging"]["next"]).status_code == 200


def test_reduce_by_page_size_and_by_rows(graph: Any, account: str) -> None:
    graph.control.add_fault("reduce_data", match={"edge": "ads"}, max_limit=10)
    assert graph.error(graph.get(f"{account}/ads", limit=11))["code"] == 1
    assert graph.get(f"{account}/ads", limit=10).status_code == 200
    params = {"level": "ad", "time_range": WEEK, "time_increment": 1}
    rows = graph.data(f"{account}/insights", **params)
    graph.control.add_fault(
        "reduce_data", match={"edge": "insights"}, max_rows=len(rows) - 1, variant="1487534"
    )
    response = graph.get(f"{account}/insights", **params)
    assert response.status_code == 400
    assert graph.error(response)["error_subcode"] == 1487534
    smaller = params | {"time_range": WEEK | {"until": "2026-11-12"}}
    assert graph.get(f"{account}/insights", **smaller).status_code == 200


def test_one_unfetchable_field(graph: Any, account: str) -> None:
    graph.control.add_fault(
        "unfetchable_field",
        match={"edge": "adcreatives"},
        field="object_story_spec",
        subcode=2446211,
    )
    failed = graph.get(f"{account}/adcreatives", fields="name,object_story_spec")
    assert graph.error(failed)["error_subcode"] == 2446211
    assert graph.get(f"{account}/adcreatives", fields="name").status_code == 200
    graph.control.add_fault("unfetchable_field", match={"edge": "insights"}, field="clicks")
    assert graph.get(f"{account}/insights", fields="spend,clicks").status_code == 400
    assert graph.get(f"{account}/insights", fields="spend").status_code == 200


def test_one_inaccessible_ad_fails_the_whole_level(graph: Any, account: str) -> None:
    ads = graph.data(f"{account}/ads", fields="campaign_id")
    bad, campaign = ads[0]["id"], ads[0]["campaign_id"]
    other = next(ad for ad in ads if ad["campaign_id"] != campaign)
    graph.control.add_fault("inaccessible_ad", ad_id=bad)
    failing: list[tuple[str, dict[str, Any]]] = [
        (account, {}),
        (campaign, {}),
        (bad, {}),
        (account, {"filtering": [{"field": "campaign.id", "operator": "IN", "value": [campaign]}]}),
    ]
    for path, params in failing:
        error = graph.error(graph.get(f"{path}/insights", level="ad", **params))
        assert (error["code"], error["error_subcode"]) == (100, 33)
        assert bad in error["message"]
    exclude = [{"field": "ad.id", "operator": "NOT_IN", "value": [bad]}]
    assert graph.get(f"{account}/insights", level="ad", filtering=exclude).status_code == 200
    assert graph.get(f"{account}/insights", level="account").status_code == 200
    assert graph.get(f"{other['campaign_id']}/insights", level="ad").status_code == 200


@pytest.mark.parametrize(
    ("kind", "params", "status", "percent"),
    [
        ("report_failed", {"percent": 42, "error_code": 2}, "Job Failed", 42),
        ("report_skipped", {}, "Job Skipped", 0),
        ("report_stuck", {"percent": 30}, "Job Running", 30),
        ("report_stuck", {}, "Job Not Started", 0),
        ("report_hundred_running", {}, "Job Running", 100),
    ],
)
def test_jobs_that_never_complete(
    graph: Any, account: str, kind: Any, params: dict[str, Any], status: str, percent: int
) -> None:
    graph.control.add_fault(kind, times=1, **params)
    job = graph.run_job(account, level="ad")
    graph.control.advance_clock(7200)
    run = graph.ok(graph.get(job))
    assert (run["async_status"], run["async_percent_completion"]) == (status, percent)
    assert ("error_code" in run) == (kind == "report_failed")
    assert graph.error(graph.get(f"{job}/insights"))["code"] == 2601
    healthy = graph.run_job(account, level="ad")
    assert graph.ok(graph.get(healthy))["async_status"] == "Job Completed"


def test_latency(graph: Any, account: str) -> None:
    graph.control.add_fault("latency", times=1, ms=150)
    started = time.perf_counter()
    graph.get(account)
    assert time.perf_counter() - started >= 0.15
    started = time.perf_counter()
    graph.get(account)
    assert time.perf_counter() - started < 0.15


def test_matching(graph: Any, account: str) -> None:
    other = graph.control.state()["accounts"][1]["id"]

    def struck(match: dict[str, Any], *probes: tuple[str, dict[str, Any]]) -> list[bool]:
        fault = graph.control.add_fault("transient", match=match)
        found = [graph.get(path, **params).status_code == 500 for path, params in probes]
        graph.control.remove_fault(fault)
        return found

    mine, theirs = (f"{account}/insights", {}), (f"{other}/insights", {})
    assert struck({"account": account}, mine, theirs) == [True, False]
    assert struck({"edge": "insights"}, mine, (account, {})) == [True, False]
    assert struck({"path": "act_.*/ins"}, mine, (account, {})) == [True, False]
    assert struck({"method": "POST"}, mine) == [False]
    ad_level = (f"{account}/insights", {"level": "ad"})
    assert struck({"level": "ad"}, mine, ad_level) == [False, True]
    assert struck({"params": {"date_preset": "^last"}}, mine) == [False]
    preset = (f"{account}/insights", {"date_preset": "last_3d"})
    assert struck({"params": {"date_preset": "^last"}}, preset) == [True]


def test_times_after_and_probability(graph: Any, account: str) -> None:
    graph.control.add_fault("transient", after=2, times=2)
    codes = [graph.get(account).status_code for _ in range(6)]
    assert codes == [200, 200, 500, 500, 200, 200]
    graph.control.clear_faults()
    graph.control.add_fault("transient", probability=0.3)
    struck = sum(graph.get(account).status_code == 500 for _ in range(200))
    assert 35 <= struck <= 85
    assert graph.control.faults()[0]["fired"] == struck


def test_random_faults_repeat_with_the_seed() -> None:
    from meta_graph_simulator.graph.call import GraphCall

    def draws(seed: int) -> list[bool]:
        registry = FaultRegistry(seed, NodeStore([]))
        registry.add({"kind": "latency", "probability": 0.5})
        call = GraphCall("GET", ("act_1",), {}, "http://x")
        return [registry.delay(call) > 0 for _ in range(64)]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)


def test_bad_faults_are_refused(graph: Any) -> None:
    for raw, message in (
        ({"kind": "gremlins"}, "'gremlins' is none of latency, html"),
        ({"kind": "html", "match": {"colour": "red"}}, "match.colour"),
        ({"kind": "html", "params": {"status": 500}}, "html has no parameter 'status'; it has"),
        ({}, "kind"),
    ):
        with pytest.raises(ControlError, match=message):
            graph.control._call("POST", "faults", raw)
    with pytest.raises(ControlError, match="no fault"):
        graph.control.remove_fault("fault-999999")


def test_state_lists_the_kinds(graph: Any) -> None:
    kinds = graph.control.state()["fault_kinds"]
    assert kinds.keys() == KINDS.keys()
    assert all(len(text) > 20 for text in kinds.values())
