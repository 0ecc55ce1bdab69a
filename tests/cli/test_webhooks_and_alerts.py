"""``meta-ads serve``, ``webhooks`` and ``alerts`` as a person uses them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import requests

from meta_ads_pipeline.cli.app import run
from meta_ads_pipeline.control.alerts import Alert, Severity, open_alert
from meta_ads_pipeline.settings import get_settings
from tests.serving.conftest import APP_SECRET, VERIFY_TOKEN


@pytest.fixture
def environment(database, monkeypatch):
    """The settings of a receiver, for this process and those it starts."""
    variables = {
        "META_ADS_DATABASE_URL": database.url,
        "META_APP_SECRET": APP_SECRET,
        "META_APP_VERIFY_TOKEN": VERIFY_TOKEN,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_a_service_in_a_process_of_its_own_receives_and_ends_by_sigterm(
    environment, database, capsys
):
    port = "18734"
    process = subprocess.Popen(
        [sys.executable, "-m", "meta_ads_pipeline.cli", "serve", "--port", port],
        stderr=subprocess.PIPE,
        env=os.environ.copy(),
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                requests.get(f"{url}/health/ready", timeout=2)
                break
            except requests.ConnectionError:
                time.sleep(0.2)
        assert run(["webhooks", "test", "--url", url]) == 0
        assert capsys.readouterr().out.count("ok") == 3
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
    assert run(["webhooks", "list", "--json"]) == 0
    (event,) = json.loads(capsys.readouterr().out)
    assert (event["status"], event["account_id"]) == ("kept", "0")


def test_without_a_verify_token_the_test_says_what_is_missing(environment, monkeypatch, capsys):
    monkeypatch.delenv("META_APP_VERIFY_TOKEN")
    get_settings.cache_clear()
    assert run(["webhooks", "test"]) == 2
    assert "META_APP_VERIFY_TOKEN" in capsys.readouterr().err


def test_open_alerts_are_listed_and_a_critical_one_is_exit_code_1(environment, database, capsys):
    assert run(["alerts", "list"]) == 0
    open_alert(database, Alert("stale", "ad account [1]", Severity.CRITICAL, "Late.", "Look."))
    assert run(["alerts", "list"]) == 1
    printed = capsys.readouterr().out
    assert "critical: Late." in printed
    assert "ad account [1]" in printed


def test_an_address_that_apprise_does_not_know_is_wrong_use(environment, monkeypatch, capsys):
    monkeypatch.setenv("META_ADS_ALERT_URLS", "carrier-pigeon://roof")
    get_settings.cache_clear()
    assert run(["alerts", "test"]) == 2
    assert "META_ADS_ALERT_URLS, address 1" in capsys.readouterr().err


def test_a_muted_kind_says_until_when(environment, capsys):
    assert run(["alerts", "mute", "stale", "--hours", "2"]) == 0
    assert "nothing is sent until" in capsys.readouterr().out
