"""The recorded account served over HTTP equals Meta's own totals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer

RECORDING = Path(__file__).parents[2].parent / "shared" / "data" / "real_account"

pytestmark = pytest.mark.skipif(not RECORDING.exists(), reason="the recorded account is not here")


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    config = SimulatorConfig(
        accounts=0,
        recordings=(RECORDING,),
        start_time=datetime(2026, 11, 20, 12, tzinfo=UTC),
        job_seconds=0,
    )
    with SimulatorServer(config) as running:
        yield running


def rows(server: SimulatorServer, path: str, **params: str) -> list[dict[str, Any]]:
    url = f"{server.url}/v26.0/{path}"
    found: list[dict[str, Any]] = []
    page = requests.get(url, params={"access_token": "x", **params}, timeout=30).json()
    while True:
        found += page["data"]
        if "next" not in page.get("paging", {}):
            return found
        page = requests.get(page["paging"]["next"], timeout=30).json()


def test_hours_days_and_levels_sum_to_the_recorded_totals(server: SimulatorServer) -> None:
    account = server.control.state()["accounts"][0]["id"]
    with (RECORDING / "account_day.csv").open() as file:
        header = file.readline().strip().split(",")
        days = [dict(zip(header, line.strip().split(","), strict=False)) for line in file]
    since, until = min(d["date_start"] for d in days), max(d["date_start"] for d in days)
    expected = sum(Decimal(day["spend"]) for day in days)
    period = {
        "time_range": json.dumps({"since": since, "until": until}),
        "time_increment": "1",
        "fields": "spend",
        "limit": "500",
    }
    statuses = json.dumps(
        [{"field": "ad.effective_status", "operator": "NOT_IN", "value": ["NONE_OF_THEM"]}]
    )
    hourly = {"breakdowns": "hourly_stats_aggregated_by_advertiser_time_zone"}
    for params in (
        {"level": "account"},
        {"level": "ad", "filtering": statuses},
        {"level": "ad", "filtering": statuses, **hourly},
    ):
        found = rows(server, f"{account}/insights", **params, **period)
        assert sum(Decimal(row["spend"]) for row in found) == expected
