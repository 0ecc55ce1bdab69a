"""The simulator as a process: it starts, dies and comes back under the same URL."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
import requests

from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.process import SimulatorProcess

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def test_a_killed_process_comes_back_with_the_same_accounts() -> None:
    config = SimulatorConfig(accounts=1, ads=3, start_time=START, clock_speed=0, job_seconds=0)
    day = date(2026, 11, 15)
    with SimulatorProcess(config) as process:
        url, account = process.url, process.control.state()["accounts"][0]["id"]
        truth = process.control.truth(account, day, day)
        job_url = f"{url}/v26.0/{account}/insights"
        first = requests.post(job_url, params={"access_token": "x"}, timeout=10).json()
        process.kill()
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=10)
        process.start()
        assert process.url == url
        assert process.control.truth(account, day, day) == truth
        # A report run of before is gone, and its id is never given to another one.
        lost = requests.get(
            f"{url}/v26.0/{first['report_run_id']}", params={"access_token": "x"}, timeout=10
        )
        assert lost.json()["error"]["error_subcode"] == 33
        second = requests.post(job_url, params={"access_token": "x"}, timeout=10).json()
        assert second["report_run_id"] != first["report_run_id"]


def test_a_process_that_cannot_listen_says_so() -> None:
    with (
        SimulatorProcess(SimulatorConfig(accounts=0)) as process,
        pytest.raises(RuntimeError, match="did not start"),
    ):
        SimulatorProcess(SimulatorConfig(accounts=0), port=process.config.port).start()
