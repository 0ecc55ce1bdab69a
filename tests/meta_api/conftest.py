"""A scripted Graph API and a client on it whose waits cost no time."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.config import PlanLimits
from tests.insights_reading import InsightsRead, read_insights
from tests.meta_api.insights_graph import DAY, ONE_REPORT, START, InsightsGraph
from tests.meta_api.scripted_graph import ScriptedGraph
from tests.virtual_clock import VirtualClock

TOKEN = "EAAtestToken0123456789abcdef"
SECRET = "0123456789abcdef0123456789abcdef"
SHARED_DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def graph() -> Iterator[ScriptedGraph]:
    server = ScriptedGraph()
    yield server
    server.close()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def calls() -> list[Any]:
    return []


@pytest.fixture
def make_client(
    graph: ScriptedGraph, clock: VirtualClock, calls: list[Any]
) -> Iterator[Callable[..., MetaAdsClient]]:
    clients = []

    def make(**settings: Any) -> MetaAdsClient:
        merged: dict[str, Any] = {
            "access_token": TOKEN,
            "graph_url": graph.url,
            "clock": clock,
            "sleep": clock.sleep,
            "on_call": calls.append,
            "timeout": (2, 5),
            **settings,
        }
        clients.append(MetaAdsClient(**merged))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., MetaAdsClient]) -> MetaAdsClient:
    return make_client()


@pytest.fixture
def account() -> AccountRef:
    return AccountRef("1", "America/New_York", "USD")


@pytest.fixture
def samples() -> Path:
    folder = SHARED_DATA / "api_samples"
    if not folder.is_dir():
        pytest.skip("the API samples are not beside this repository")
    return folder


@pytest.fixture
def recorded_pages() -> Path:
    folder = SHARED_DATA / "recorded_pages"
    if not folder.is_dir():
        pytest.skip("the recorded pages are not beside this repository")
    return folder


@pytest.fixture
def insights(graph: ScriptedGraph) -> InsightsGraph:
    return InsightsGraph(graph)


@pytest.fixture
def read(
    insights: InsightsGraph, make_client: Callable[..., MetaAdsClient], account: AccountRef
) -> Callable[..., InsightsRead]:
    """Read eight days by the hour as reports and compare with the truth."""

    def run(limits: PlanLimits = ONE_REPORT, start: date = START, **settings: Any) -> InsightsRead:
        client = make_client(plan_limits=limits, **settings)
        result = read_insights(client, account, start, DAY, level="ad", grain="hour")
        truth = insights.truth(start, DAY, "ad", "hour")
        assert sorted(map(str, result.rows)) == sorted(map(str, truth))
        return result

    return run
