"""The unmodified facebook-business SDK against the simulator."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adreportrun import AdReportRun
from facebook_business.adobjects.campaign import Campaign
from facebook_business.adobjects.user import User
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOURLY = "hourly_stats_aggregated_by_advertiser_time_zone"


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    config = SimulatorConfig(
        accounts=1, ads=10, start_time=NOON, app_id="1", app_secret="shh", job_seconds=0.2
    )
    with SimulatorServer(config) as running:
        yield running


@pytest.fixture
def api(server: SimulatorServer) -> FacebookAdsApi:
    server.control.reset()
    session = FacebookSession("1", "shh", "TOKEN", timeout=10)
    session.GRAPH = server.url
    return FacebookAdsApi(session)


@pytest.fixture
def account(api: FacebookAdsApi) -> AdAccount:
    return AdAccount(User("me", api=api).get_ad_accounts()[0]["id"], api=api)


def test_accounts_and_node_read(account: AdAccount) -> None:
    account.api_get(fields=["name", "currency", "timezone_name"])
    assert account["currency"] == "EUR"
    assert account["timezone_name"] == "Europe/Berlin"


def test_edges_page_to_the_end(account: AdAccount) -> None:
    ads = account.get_ads(fields=["name", "creative", "effective_status"], params={"limit": 3})
    ids = [ad["id"] for ad in ads]
    assert len(ids) == len(set(ids)) > 6
    assert ads.total() == len(ids)
    campaigns = account.get_campaigns(
        fields=["name"], params={"effective_status": ["ACTIVE", "PAUSED", "ARCHIVED", "DELETED"]}
    )
    below = [ad["id"] for campaign in campaigns for ad in campaign.get_ads(params={"limit": 2})]
    assert sorted(below) == sorted(ids)
    filtered = account.get_ads(
        params={"filtering": [{"field": "ad.id", "operator": "IN", "value": ids[:2]}]}
    )
    assert [ad["id"] for ad in filtered] == ids[:2]


def test_sync_insights(account: AdAccount) -> None:
    params: dict[str, Any] = {
        "level": "ad",
        "time_range": {"since": "2026-11-10", "until": "2026-11-11"},
        "time_increment": 1,
        "breakdowns": [HOURLY],
        "limit": 50,
    }
    rows = list(account.get_insights(fields=["ad_id", "spend", "actions"], params=params))
    assert len(rows) > 50
    assert {row["date_start"] for row in rows} == {"2026-11-10", "2026-11-11"}
    assert all(isinstance(row["spend"], str) for row in rows)


def test_async_insights(account: AdAccount, api: FacebookAdsApi) -> None:
    params = {"level": "ad", "time_range": {"since": "2026-11-10", "until": "2026-11-12"}}
    run = account.get_insights_async(fields=["ad_id", "spend"], params=params)
    assert isinstance(run, AdReportRun)
    statuses = set()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        run = run.api_get()
        statuses.add(run["async_status"])
        if run["async_status"] == "Job Completed" and run["async_percent_completion"] == 100:
            break
        time.sleep(0.03)
    assert "Job Completed" in statuses
    rows = [dict(row) for row in run.get_insights(params={"limit": 4})]
    direct = account.get_insights(fields=["ad_id", "spend"], params=params)
    assert rows == [dict(row) for row in direct]


def test_batch(account: AdAccount, api: FacebookAdsApi, server: SimulatorServer) -> None:
    ids = [ad["id"] for ad in account.get_ads(params={"limit": 100})]
    server.control.add_fault("null_batch_item", times=1)
    names: dict[str, str] = {}
    failures: list[Any] = []

    def keep(response: Any) -> None:
        names[response.json()["id"]] = response.json()["name"]

    batch = api.new_batch()
    for ad_id in [*ids[:5], "5"]:
        Ad(ad_id, api=api).api_get(
            fields=["name"], batch=batch, success=keep, failure=failures.append
        )
    again = batch.execute()
    assert len(names) == 4
    assert len(again) == 1
    assert again.execute() is None
    assert set(names) == set(ids[:5])
    assert failures[0].error().api_error_subcode() == 33


def test_errors_reach_the_sdks_getters(account: AdAccount, api: FacebookAdsApi) -> None:
    with (
        pytest.warns(UserWarning, match="does not allow field"),
        pytest.raises(FacebookRequestError) as caught,
    ):
        account.get_campaigns(fields=["no_such_field"])
    error = caught.value
    assert error.api_error_code() == 100
    assert error.http_status() == 400
    assert "nonexisting field (no_such_field)" in error.api_error_message()
    assert "x-fb-trace-id" in {name.lower() for name in error.http_headers()}
    with pytest.raises(FacebookRequestError) as caught:
        Campaign("123", api=api).api_get()
    assert caught.value.api_error_subcode() == 33


def test_wrong_app_secret(server: SimulatorServer) -> None:
    session = FacebookSession("1", "wrong", "TOKEN", timeout=10)
    session.GRAPH = server.url
    with pytest.raises(FacebookRequestError) as caught:
        User("me", api=FacebookAdsApi(session)).api_get()
    assert "Invalid appsecret_proof" in caught.value.api_error_message()


def test_the_sdk_stops_at_an_empty_page(account: AdAccount, server: SimulatorServer) -> None:
    """The trap that a client's own pager must avoid: rows left behind without an error."""
    whole = list(account.get_ads(params={"limit": 2}))
    server.control.add_fault("empty_page", match={"edge": "ads"}, after=1, times=1)
    assert len(list(account.get_ads(params={"limit": 2}))) == 2 < len(whole)
