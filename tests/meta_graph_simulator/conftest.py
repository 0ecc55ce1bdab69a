"""A running simulator for the tests of its HTTP side: two small accounts, a clock that stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SETTINGS = {
    "job_seconds": 0.0,
    "job_seconds_per_1000_rows": 0.0,
    "max_sync_rows": 50_000,
    "max_job_rows": None,
    "too_much_data_variant": "1",
    "quoted_report_run_id": True,
    "auto_upgrade_expired": False,
    "live_versions": ["v25.0", "v26.0"],
}


class GraphClient:
    """Plain HTTP against the simulator; parameters that are no text go out as JSON."""

    def __init__(self, server: SimulatorServer, token: str = "SIMULATOR-TOKEN") -> None:
        self.server = server
        self.control = server.control
        self.token = token
        self.version = "v26.0"
        self.session = requests.Session()

    def url(self, path: str) -> str:
        return f"{self.server.url}/{self.version}/{path.lstrip('/')}"

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.session.get(self.url(path), params=self._wire(params), timeout=30)

    def post(self, path: str, **params: Any) -> requests.Response:
        token = {"access_token": self.token}
        return self.session.post(
            self.url(path), params=token, data=self._wire(params, None), timeout=30
        )

    def data(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """All rows of a listing, by following `next` to its end."""
        document = self.ok(self.get(path, **params))
        rows = list(document["data"])
        while "next" in document.get("paging", {}):
            document = self.ok(self.session.get(document["paging"]["next"], timeout=30))
            rows += document["data"]
        return rows

    @staticmethod
    def ok(response: requests.Response) -> dict[str, Any]:
        assert response.status_code == 200, response.text
        return dict(response.json())

    @staticmethod
    def ok_list(response: requests.Response) -> list[Any]:
        assert response.status_code == 200, response.text
        return list(response.json())

    @staticmethod
    def error(response: requests.Response) -> dict[str, Any]:
        assert response.status_code >= 400, response.text
        return dict(response.json()["error"])

    def run_job(self, account: str, **params: Any) -> str:
        return str(self.ok(self.post(f"{account}/insights", **params))["report_run_id"])

    def _wire(self, params: dict[str, Any], token: str | None = "") -> dict[str, str]:
        wire = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in params.items()
        }
        if token is not None:
            wire.setdefault("access_token", self.token)
        return wire


@pytest.fixture(scope="session")
def simulator_server() -> Iterator[SimulatorServer]:
    config = SimulatorConfig(
        accounts=2, ads=16, seed=7, start_time=NOON, clock_speed=0.0, job_seconds=0.0
    )
    with SimulatorServer(config) as server:
        yield server


@pytest.fixture
def graph(simulator_server: SimulatorServer) -> Iterator[GraphClient]:
    simulator_server.control.reset()
    simulator_server.control.configure(**SETTINGS)
    simulator_server.control.set_clock(NOON)
    simulator_server.control.set_throttle(tier="standard_access", enforce=False)
    client = GraphClient(simulator_server)
    yield client
    client.session.close()


@pytest.fixture
def account(graph: GraphClient) -> str:
    """The first account's id, with `act_`."""
    return str(graph.control.state()["accounts"][0]["id"])
