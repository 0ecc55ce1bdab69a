"""Alerts as a real endpoint receives them: once, to whom it concerns, and their recovery."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from meta_ads_pipeline.alerting.destinations import parse_destinations
from meta_ads_pipeline.alerting.errors import AlertSettingError
from meta_ads_pipeline.alerting.notices import mute
from meta_ads_pipeline.alerting.quiet_hours import parse_quiet_hours
from meta_ads_pipeline.alerting.sender import MOST_SINGLE_MESSAGES, send_due
from meta_ads_pipeline.control.alerts import Alert, Severity, close_alerts, open_alert
from meta_ads_pipeline.settings import Settings

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


class Endpoint:
    """A real HTTP endpoint that keeps what it is sent, and can be broken."""

    def __init__(self) -> None:
        received = self.received = []
        endpoint = self
        self.status = 200

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if endpoint.status == 200:
                    received.append(json.loads(body))
                self.send_response(endpoint.status)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"json://127.0.0.1:{self._server.server_address[1]}/alerts"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.received]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


@pytest.fixture
def send(database, endpoint):
    def send(now=NOON, urls=None, **variables):
        settings = Settings(**{"META_ADS_ALERT_URLS": urls or endpoint.url, **variables})
        return send_due(database, settings, now)

    return send


def alert(subject="ad account 1", severity=Severity.WARNING, **members):
    values = {"kind": "stale", "message": "Data is late.", "what_to_do": "Run `meta-ads status`."}
    return Alert(subject=subject, severity=severity, **{**values, **members})


def test_an_alert_is_sent_once_and_its_recovery_once(database, endpoint, send):
    for _ in range(3):
        open_alert(database, alert(), now=NOON)
        send()
    assert endpoint.titles == ["[warning] ad account 1"]
    assert "Run `meta-ads status`." in endpoint.received[0]["message"]
    close_alerts(database, "ad account 1", now=NOON + timedelta(minutes=90))
    for _ in range(2):
        send(NOON + timedelta(hours=2))
    assert endpoint.titles[1:] == ["[recovered] ad account 1"]
    assert "Over after 90 min" in endpoint.received[1]["message"]


def test_what_gets_worse_is_sent_again(database, endpoint, send):
    for severity in (Severity.WARNING, Severity.WARNING, Severity.CRITICAL):
        open_alert(
            database, alert(severity=severity), now=NOON + timedelta(hours=severity == "critical")
        )
        send()
    assert endpoint.titles == ["[warning] ad account 1", "[critical] ad account 1"]


def test_what_was_over_before_it_was_sent_is_never_sent(database, endpoint, send):
    open_alert(database, alert(), now=NOON)
    close_alerts(database, "ad account 1", now=NOON)
    send()
    assert endpoint.received == []


def test_each_destination_has_its_least_severity(database, endpoint, send):
    open_alert(database, alert("a", Severity.WARNING), now=NOON)
    open_alert(database, alert("b", Severity.CRITICAL), now=NOON)
    send(urls=f"critical={endpoint.url}?to=pager, info={endpoint.url}?to=chat")
    assert sorted(endpoint.titles) == ["[critical] b", "[critical] b", "[warning] a"]


def test_a_destination_that_fails_is_tried_again_and_costs_no_other(database, endpoint, send):
    open_alert(database, alert(), now=NOON)
    dead = "json://127.0.0.1:9/nobody"
    sent = send(urls=f"{dead},{endpoint.url}")
    assert endpoint.titles == ["[warning] ad account 1"]
    assert len(sent.errors) == 1
    endpoint.status = 500
    open_alert(database, alert("ad account 2"), now=NOON)
    send()
    assert send(NOON + timedelta(seconds=5)).errors == {}, "not before the delay"
    endpoint.status = 200
    send(NOON + timedelta(hours=1))
    assert endpoint.titles[1:] == ["[warning] ad account 2"]


def test_in_quiet_hours_only_what_is_critical_is_sent_the_rest_afterwards(database, endpoint, send):
    open_alert(database, alert("a", Severity.WARNING), now=NOON)
    open_alert(database, alert("b", Severity.CRITICAL), now=NOON)
    hours = {"META_ADS_ALERT_QUIET_HOURS": "11:30-13"}
    send(**hours)
    assert endpoint.titles == ["[critical] b"]
    send(NOON + timedelta(hours=1), **hours)
    assert endpoint.titles[1:] == ["[warning] a"]


def test_many_at_a_time_are_one_message(database, endpoint, send):
    for number in range(MOST_SINGLE_MESSAGES + 1):
        open_alert(database, alert(f"ad account {number}"), now=NOON)
    send()
    assert endpoint.titles == [f"Meta ads: {MOST_SINGLE_MESSAGES + 1} alerts"]


def test_info_is_a_daily_digest(database, endpoint, send):
    urls = f"info={endpoint.url}"
    for number in range(4):
        open_alert(database, alert(f"note {number}", Severity.INFO), now=NOON)
        send(NOON + timedelta(minutes=number), urls=urls)
    assert endpoint.titles == ["Meta ads: Digest: 1 notes"]
    send(NOON + timedelta(hours=25), urls=urls)
    assert endpoint.titles[1:] == ["Meta ads: Digest: 3 notes"]


def test_what_is_muted_waits_until_then(database, endpoint, send):
    mute(database, "stale", "", NOON + timedelta(hours=1))
    open_alert(database, alert(), now=NOON)
    send()
    assert endpoint.received == []
    send(NOON + timedelta(hours=2))
    assert endpoint.titles == ["[warning] ad account 1"]


def test_no_secret_leaves_in_a_message_or_an_error(database, endpoint, send):
    token = "EAA" + "abcdefghijklmnopqrstuvwxyz"
    open_alert(database, alert(message=f"access_token={token} is refused"), now=NOON)
    sent = send(urls=f"json://user:pass-word@127.0.0.1:9/x,{endpoint.url}")
    assert token not in json.dumps(endpoint.received)
    assert "pass-word" not in str(sent)


@pytest.mark.parametrize(
    "text", ["nonsense", "loud=json://x", "unknownscheme://x", "json://a nonsense"]
)
def test_an_address_that_cannot_be_used_is_named_by_its_place(text):
    with pytest.raises(AlertSettingError, match=r"META_ADS_ALERT_URLS, address \d"):
        parse_destinations(text)


@pytest.mark.parametrize(
    ("text", "hour", "inside"),
    [
        ("22-07", 23, True),
        ("22-07", 6, True),
        ("22-07", 7, False),
        ("09:30-17", 9, False),
        ("22-07 Asia/Tokyo", 15, True),
    ],
)
def test_quiet_hours_may_go_over_midnight_and_have_a_timezone(text, hour, inside):
    instant = datetime(2026, 3, 10, hour, tzinfo=UTC)
    assert parse_quiet_hours(text).contains(instant) is inside


@pytest.mark.parametrize("text", ["late", "22", "22-25", "0-24", "22-07 Mars/Base", "22-07 ../etc"])
def test_quiet_hours_that_are_none_are_refused(text):
    with pytest.raises(AlertSettingError, match="META_ADS_ALERT_QUIET_HOURS"):
        parse_quiet_hours(text)
