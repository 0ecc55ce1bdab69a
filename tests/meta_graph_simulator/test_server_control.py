"""Statistics, call log and control endpoint."""

from __future__ import annotations

import json
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.control_client import ControlClient, ControlError
from meta_graph_simulator.http.server import SimulatorServer


def test_calls_are_counted_by_what_they_are(graph: Any, account: str) -> None:
    graph.control.reset("stats")
    graph.get("me")
    graph.get(account)
    graph.get(f"{account}/ads", limit=3)
    graph.get(f"{account}/insights", level="ad", date_preset="yesterday")
    job = graph.run_job(account)
    graph.get(job)
    graph.get(f"{job}/insights")
    graph.get(f"{account}/ads", fields="nonsense")
    stats = graph.control.stats()
    assert stats["calls"] == 8
    assert stats["by_edge"] == {
        "me": 1,
        "account": 1,
        "ads": 2,
        "insights": 1,
        "insights_async": 1,
        "report_run": 1,
        "report_insights": 1,
    }
    assert stats["by_account"] == {account.removeprefix("act_"): 7}
    assert stats["by_status"] == {"200": 7, "400": 1}
    assert stats["by_error"] == {"100": 1}
    assert stats["edges"]["ads"] == {"calls": 2, "rows": 3, "failed": 1}


def test_the_call_log_holds_no_secret(graph: Any, account: str) -> None:
    graph.control.reset("stats")
    graph.token = "VERY-SECRET-TOKEN"
    page = graph.ok(graph.get(f"{account}/ads", limit=1, appsecret_proof="SECRET-PROOF"))
    graph.session.get(page["paging"]["next"])
    graph.get(
        "oauth/access_token",
        grant_type="fb_exchange_token",
        client_id="1",
        client_secret="SECRET-APP",
        fb_exchange_token="VERY-SECRET-TOKEN",
    )
    graph.get("debug_token", input_token="VERY-SECRET-TOKEN")
    graph.post("", batch=[{"method": "GET", "relative_url": "me?access_token=VERY-SECRET-TOKEN"}])
    calls = graph.control.calls()
    assert [call["edge"] for call in calls] == [
        "ads",
        "ads",
        "oauth/access_token",
        "debug_token",
        "me",
    ]
    assert "SECRET" not in json.dumps(calls)
    assert calls[1]["params"]["limit"] == "1"
    assert graph.control.calls(since=3)[0]["number"] == 4
    assert len(graph.control.calls(limit=2)) == 2


def test_clock_control(graph: Any) -> None:
    before = graph.control.now()
    graph.control.advance_clock(3600)
    assert (graph.control.now() - before).total_seconds() == 3600
    moment = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    graph.control.set_clock(moment)
    assert graph.control.now() == moment
    days = {row["timezone_name"]: row["today"] for row in graph.control.state()["accounts"]}
    assert days["Europe/Berlin"] == "2026-03-29"
    assert days["America/New_York"] == "2026-03-28"
    graph.control.set_clock_speed(1e6)
    later = graph.control.now()
    graph.control.set_clock_speed(0)
    assert later > moment


def test_control_explains_itself(graph: Any) -> None:
    with pytest.raises(ControlError, match="unknown account 5; known: "):
        graph.control.truth("5", date(2026, 11, 1), date(2026, 11, 2))
    with pytest.raises(ControlError, match="cannot change port"):
        graph.control.configure(port=1)
    with pytest.raises(ControlError, match="max_limit"):
        graph.control.configure(max_limit=0)
    with pytest.raises(ControlError, match="cannot reset"):
        graph.control.reset("everything")
    account = graph.control.state()["accounts"][0]["id"]
    with pytest.raises(ControlError, match="missing 'factor'"):
        graph.control._call("POST", "restate", {"account": account, "dates": []})
    response = requests.get(f"{graph.server.url}/_simulator/nothing", timeout=10)
    assert response.status_code == 404
    assert "GET /_simulator/stats" in response.json()["known"]


def test_control_calls_are_not_counted(graph: Any) -> None:
    graph.control.reset("stats")
    graph.control.state()
    graph.control.stats()
    assert graph.control.stats()["calls"] == 0
    assert graph.control.stats()["http_requests"] == 0


def test_concurrent_clients_get_their_own_answers(graph: Any, account: str) -> None:
    whole = graph.data(f"{account}/ads", limit=5000)
    found: list[bool] = []

    def page_through(limit: int) -> None:
        with requests.Session() as session:
            rows, url = [], graph.url(f"{account}/ads?access_token=x&limit={limit}")
            while url:
                page = session.get(url, timeout=30).json()
                rows += page["data"]
                url = page["paging"].get("next")
            found.append(rows == whole)

    threads = [threading.Thread(target=page_through, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def test_a_taken_port_is_an_error_and_a_stopped_server_frees_it() -> None:
    with SimulatorServer(SimulatorConfig(accounts=0)) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
            SimulatorServer(SimulatorConfig(accounts=0), port=port).start()
        url = server.url
    with pytest.raises(ControlError, match="no simulator answers"):
        ControlClient(url).wait_until_up(0.1)
    with SimulatorServer(SimulatorConfig(accounts=0), port=port) as again:
        assert again.control.state()["accounts"] == []


def test_faults_and_limits_from_the_configuration() -> None:
    config = SimulatorConfig(
        accounts=1,
        ads=2,
        faults=(
            {"kind": "transient", "times": 1},
            {"kind": "rate_limit", "params": {"code": 80004, "seconds": 900}},
        ),
        default_limit=1,
        max_limit=2,
        any_token=False,
        access_tier="development_access",
    )
    with SimulatorServer(config) as server:
        url = f"{server.url}/v26.0/me"
        assert requests.get(url, params={"access_token": "x"}, timeout=10).status_code == 500
        refused = requests.get(url, params={"access_token": "x"}, timeout=10)
        assert refused.json()["error"]["code"] == 190
        server.control.add_token("x")
        assert requests.get(url, params={"access_token": "x"}, timeout=10).status_code == 200
        account = server.control.state()["accounts"][0]["id"]
        ads_url = f"{server.url}/v26.0/{account}/ads"
        blocked = requests.get(ads_url, params={"access_token": "x"}, timeout=10)
        assert blocked.json()["error"]["code"] == 80004
        server.control.clear_faults()
        ads = requests.get(
            ads_url,
            params={"access_token": "x", "limit": "500"},
            timeout=10,
        )
        assert len(ads.json()["data"]) <= 2
        assert '"development_access"' in ads.headers["X-Ad-Account-Usage"]


def test_module_does_not_import_the_pipeline() -> None:
    folder = Path(__file__).parents[2] / "meta_ads_pipeline" / "simulator"
    for file in folder.glob("*.py"):
        for line in file.read_text().splitlines():
            if line.strip().startswith(("from meta_ads_pipeline", "import meta_ads_pipeline")):
                assert "meta_graph_simulator" in line, f"{file.name}: {line}"
