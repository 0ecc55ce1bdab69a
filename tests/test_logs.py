"""Logs as JSON: one document a line, with the ids it belongs to, without secrets."""

from __future__ import annotations

import json
import logging

import pytest

from meta_ads_pipeline import logs
from meta_ads_pipeline.logs import configure_logs, log_context
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_graph_simulator.config import DEFAULT_TOKEN
from tests.test_settings import settings


@pytest.fixture
def documents(capsys):
    """What is logged as JSON from here on."""
    root = logging.getLogger()
    level = root.level
    configure_logs("json", logging.WARNING)

    def read():
        # The simulator of the session lives in this process, with a log of its own.
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]

    yield read
    for handler in [each for each in root.handlers if isinstance(each, logs._Handler)]:
        root.removeHandler(handler)
    root.setLevel(level)


def test_each_call_has_an_id_and_names_what_it_was_for(simulator, documents):
    with MetaAdsClient(access_token=DEFAULT_TOKEN, graph_url=simulator.url) as client:
        account_id = client.get_accounts()[0]["account_id"]
        with log_context(run_id="run-1", asset="campaigns", account_id=account_id):
            client.get_campaigns(account_id)
    calls = [each for each in documents() if each["logger"].endswith("meta_api.calls")]
    assert len({each["call_id"] for each in calls}) == len(calls) >= 2
    last = calls[-1]
    assert (last["run_id"], last["asset"], last["account_id"]) == ("run-1", "campaigns", account_id)
    assert (last["status"], last["level"], last["attempt"]) == (200, "info", 1)
    assert last["duration_ms"] >= 0
    assert "run_id" not in calls[0]


def test_a_refused_call_has_metas_trace_id_and_no_token(simulator, documents):
    client = MetaAdsClient(access_token="EAAB" + "x" * 40, graph_url=simulator.url)
    simulator.control.add_fault("token", times=1)
    with client, pytest.raises(MetaApiError):
        client.get_accounts()
    (call,) = [each for each in documents() if each["logger"].endswith("meta_api.calls")]
    assert call["error_kind"] == "auth"
    assert call["fbtrace_id"]
    assert "EAAB" not in json.dumps(call)


def test_a_record_is_one_line_whatever_is_in_it(documents):
    logger = logging.getLogger("test")
    error = ValueError("two\nlines with access_token=EAABsecretsecretsecret")
    logger.error("failed: %s", "ä\n'\"", exc_info=error, extra={"rows": 3, "what": object})
    logging.getLogger("test").debug("not of interest")
    (document,) = documents()
    assert document["message"] == "failed: ä\n'\""
    assert (document["rows"], document["level"], document["logger"]) == (3, "error", "test")
    assert "two\nlines" in document["exception"]
    assert "secretsecret" not in json.dumps(document)
    assert document["timestamp"].endswith("Z")


def test_the_format_is_a_setting(monkeypatch):
    assert settings().log_format == "text"
    monkeypatch.setenv("META_ADS_LOG_FORMAT", "json")
    assert settings().log_format == "json"
    monkeypatch.setenv("META_ADS_LOG_FORMAT", "xml")
    with pytest.raises(ValueError, match="META_ADS_LOG_FORMAT"):
        settings()
