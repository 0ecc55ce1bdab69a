"""Usage headers and rate limits over HTTP, on the simulated clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meta_graph_simulator.endpoints.rate_limits import TIERS, RollingSum


def usage(response: Any, name: str) -> Any:
    return json.loads(response.headers[name])


def test_headers_of_an_entity_call(graph: Any, account: str) -> None:
    response = graph.get(f"{account}/ads")
    number = account.removeprefix("act_")
    assert usage(response, "X-App-Usage") == {
        "call_count": 0,
        "total_time": 0,
        "total_cputime": 0,
    }
    score = usage(response, "X-Ad-Account-Usage")
    assert set(score) == {"acc_id_util_pct", "reset_time_duration", "ads_api_access_tier"}
    entry = usage(response, "X-Business-Use-Case-Usage")[number][0]
    assert entry["type"] == "ads_management"
    assert entry["estimated_time_to_regain_access"] == 0
    assert "X-FB-Ads-Insights-Throttle" not in response.headers
    for name in ("facebook-api-version", "x-fb-trace-id", "x-fb-request-id", "x-fb-rev"):
        assert response.headers[name]


def test_headers_of_an_insights_call(graph: Any, account: str) -> None:
    response = graph.get(f"{account}/insights")
    entry = usage(response, "X-Business-Use-Case-Usage")[account.removeprefix("act_")][0]
    assert entry["type"] == "ads_insights"
    throttle = usage(response, "X-FB-Ads-Insights-Throttle")
    assert set(throttle) == {"app_id_util_pct", "acc_id_util_pct", "ads_api_access_tier"}


def test_headers_come_with_errors_and_can_be_absent(graph: Any, account: str) -> None:
    failed = graph.get(f"{account}/ads", fields="nonsense")
    assert "X-Ad-Account-Usage" in failed.headers
    assert "nonexisting field" in failed.headers["WWW-Authenticate"]
    assert failed.headers["x-fb-trace-id"] == failed.json()["error"]["fbtrace_id"]
    graph.control.add_fault("no_usage_headers", times=1)
    assert "X-Ad-Account-Usage" not in graph.get(account).headers
    assert "X-Ad-Account-Usage" in graph.get(account).headers


def test_account_score_rises_blocks_and_decays(graph: Any, account: str) -> None:
    graph.control.set_throttle(tier="development_access", enforce=True)
    percents = []
    for _ in range(60):
        response = graph.get(account)
        assert response.status_code == 200
        percents.append(usage(response, "X-Ad-Account-Usage")["acc_id_util_pct"])
    assert percents[0] == pytest.approx(100 / 60, abs=0.01)
    assert percents == sorted(percents)
    assert percents[-1] == 100
    blocked = graph.get(account)
    assert blocked.status_code == 400
    error = graph.error(blocked)
    assert (error["code"], error["error_subcode"]) == (17, 2446079)
    assert error["is_transient"] is True
    score = usage(blocked, "X-Ad-Account-Usage")
    assert score["acc_id_util_pct"] >= 100
    assert score["reset_time_duration"] == 300
    other = graph.control.state()["accounts"][1]["id"]
    assert graph.get(other).status_code == 200
    graph.control.advance_clock(299)
    assert graph.error(graph.get(account))["code"] == 17
    graph.control.advance_clock(2)
    fresh = graph.get(account)
    assert fresh.status_code == 200
    assert usage(fresh, "X-Ad-Account-Usage")["acc_id_util_pct"] < 5


def test_hourly_budget_of_insights(
    graph: Any, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = TIERS["standard_access"]
    limits = type(small)(9000, 60.0, 100, 0, 10, 0, 200, 600.0)
    monkeypatch.setitem(TIERS, "standard_access", limits)
    graph.control.set_throttle(enforce=True)
    number = account.removeprefix("act_")
    for count in range(1, 11):
        response = graph.get(f"{account}/insights", date_preset="yesterday")
        entry = usage(response, "X-Business-Use-Case-Usage")[number][0]
        assert entry["call_count"] == 10 * count
        graph.control.advance_clock(60)
    blocked = graph.get(f"{account}/insights", date_preset="yesterday")
    assert graph.error(blocked)["code"] == 80000
    entry = usage(blocked, "X-Business-Use-Case-Usage")[number][0]
    retry_after = entry["estimated_time_to_regain_access"]
    assert 45 <= retry_after <= 60
    assert graph.get(f"{account}/ads").status_code == 200
    graph.control.advance_clock(retry_after * 60)
    assert graph.get(f"{account}/insights", date_preset="yesterday").status_code == 200


def test_app_level_limit(graph: Any) -> None:
    graph.control.set_throttle(tier="development_access", enforce=True)
    for _ in range(200):
        assert graph.get("me").status_code == 200
    blocked = graph.get("me")
    assert blocked.status_code == 403
    assert graph.error(blocked)["code"] == 4
    assert usage(blocked, "X-App-Usage")["call_count"] >= 100
    graph.control.advance_clock(3700)
    assert graph.get("me").status_code == 200


@pytest.mark.parametrize(
    ("code", "subcode", "path", "header", "member"),
    [
        (17, 2446079, "{a}/ads", "X-Ad-Account-Usage", "reset_time_duration"),
        (613, 1487742, "{a}/ads", "X-Ad-Account-Usage", "reset_time_duration"),
        (80004, None, "{a}/ads", "X-Business-Use-Case-Usage", None),
        (80000, None, "{a}/insights", "X-Business-Use-Case-Usage", None),
    ],
)
def test_block_of_one_account(
    graph: Any,
    account: str,
    code: int,
    subcode: int | None,
    path: str,
    header: str,
    member: str | None,
) -> None:
    number = account.removeprefix("act_")
    params = {"code": code, "seconds": 2400} | ({"subcode": subcode} if subcode else {})
    fault = graph.control.add_fault("rate_limit", match={"account": number}, **params)
    blocked = graph.get(path.format(a=account))
    assert blocked.status_code == 400
    assert graph.error(blocked)["code"] == code
    hint = usage(blocked, header)
    if member:
        assert hint[member] == 2400
    else:
        entries = {entry["type"]: entry for entry in hint[number]}
        case = "ads_insights" if code == 80000 else "ads_management"
        assert entries[case]["estimated_time_to_regain_access"] == 40
        assert entries[case]["call_count"] == 100
    other = graph.control.state()["accounts"][1]["id"]
    assert graph.get(path.format(a=other)).status_code == 200
    graph.control.advance_clock(2401)
    assert graph.get(path.format(a=account)).status_code == 200
    graph.control.remove_fault(fault)


def test_app_wide_block_is_lifted_with_its_fault(graph: Any, account: str) -> None:
    fault = graph.control.add_fault("rate_limit", code=4, subcode=1504022, seconds=600)
    for path in ("me", account, f"{account}/insights"):
        response = graph.get(path)
        assert response.status_code == 403
        assert graph.error(response)["error_subcode"] == 1504022
    assert usage(response, "X-FB-Ads-Insights-Throttle")["app_id_util_pct"] == 100
    graph.control.remove_fault(fault)
    assert graph.get(account).status_code == 200


def test_rolling_sum_forgets() -> None:
    rolling = RollingSum(60)
    for second in range(100):
        rolling.add(second, 1)
    assert 59 <= rolling.total(99) <= 61
    assert rolling.total(200) == 0
    rolling.add(200, 10)
    wait = rolling.seconds_until_below(200, 5)
    assert 59 <= wait <= 62
    assert rolling.total(200 + wait) == 0
    assert rolling.seconds_until_below(200, 11) == 0
