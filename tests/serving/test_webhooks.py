"""The webhook receiver over HTTP: handshake, signatures, each change once, the odd ones kept."""

import hashlib
import hmac
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_ads_pipeline.control import webhook_events
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.serving.webhook_payload import PayloadError, parse_payload
from tests.serving.conftest import APP_SECRET, VERIFY_TOKEN, change, signature

HANDSHAKE = {"hub.mode": "subscribe", "hub.challenge": "1158201444"}


def events(database: Database) -> list[webhook_events.StoredEvent]:
    return webhook_events.recent(database, limit=10_000)


def outcomes(database: Database) -> dict[str, int]:
    with database.connect() as connection:
        rows = connection.execute(
            "select outcome, sum(requests)::int as n from control.webhook_requests group by 1"
        ).fetchall()
    return {row["outcome"]: row["n"] for row in rows}


def test_the_handshake_is_answered_with_exactly_the_challenge(service):
    answer = service.get("/webhooks/meta", params={**HANDSHAKE, "hub.verify_token": VERIFY_TOKEN})
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")


def test_another_verify_token_is_refused(service):
    for token in ("", "another", VERIFY_TOKEN + "x", "ä"):
        answer = service.get("/webhooks/meta", params={**HANDSHAKE, "hub.verify_token": token})
        assert answer.status_code == 403
        assert "1158201444" not in answer.text


def test_without_a_verify_token_the_handshake_says_what_is_missing(make_service):
    answer = make_service(META_APP_VERIFY_TOKEN="").get("/webhooks/meta", params=HANDSHAKE)
    assert answer.status_code == 503
    assert "META_APP_VERIFY_TOKEN" in answer.text


@pytest.mark.parametrize(
    ("field", "value", "level", "object_id"),
    [
        ("with_issues_ad_objects", {"id": "9", "level": "AD_SET"}, "adset", "9"),
        ("in_process_ad_objects", {"id": "9", "level": "CREATIVE"}, "creative", "9"),
        ("field_changed", {"object_id": "9", "object_type": "ad"}, "ad", "9"),
        (
            "subscriptions",
            {"object_id": 9, "object_type": "adset", "account_id": 123},
            "adset",
            "9",
        ),
        ("creative_fatigue", {"ad_account_id": "123", "adgroup_id": "9"}, "ad", "9"),
        ("ad_recommendations", {"ad_object_ids": ["9"], "recommendation_type": "x"}, None, "9"),
        ("something_new", {"campaign_id": "9", "colour": "red"}, "campaign", "9"),
    ],
)
def test_the_object_of_a_change_is_found_by_its_keys(field, value, level, object_id):
    (event,) = parse_payload(json.dumps(change(field, value)).encode())
    assert (event.account_id, event.field) == ("123", field)
    assert (event.object_level, event.object_id) == (level, object_id)
    assert json.loads(event.value) == value


@pytest.mark.parametrize(
    "payload",
    [
        change("with_issues_ad_objects", {"id": "9", "level": "AD"}, account="0"),
        [change("with_issues_ad_objects", {"id": "9"}, account="0")],
        change("product_set_issue", {"who": "knows"}),
        change("product_set_issue", None),
        change("subscriptions", {"object_id": "123", "object_type": "account"}),
        {"object": "application", "entry": [{"id": "1", "changes": [{"field": "async_requests",
            "value": {"verb": "complete", "report_id": "5"}}]}]},
        {"object": "ad_account", "entry": [None]},
        {"object": "ad_account", "entry": [{"id": "1", "time": "never"}]},
        {"object": "ad_account", "entry": [{"id": "1", "changes": [17]}]},
        {"nothing": "known"},
        17,
        None,
    ],
)  # fmt: skip
def test_what_names_no_object_is_kept_with_the_reason(payload):
    (event,) = parse_payload(json.dumps(payload).encode())
    assert not event.is_actionable
    assert event.reason


def test_a_bad_change_does_not_cost_its_neighbours(deliver, database):
    payload = change("field_changed", {"object_id": "1", "object_type": "ad"})
    payload["entry"][0]["changes"][:0] = [None, {"value": 1}, {"field": "x", "value": "a\u0000b"}]
    payload["entry"].append("odd")
    assert deliver(payload).status_code == 200
    assert sorted(event.status for event in events(database)) == ["kept"] * 4 + ["pending"]


def test_a_change_delivered_again_in_any_company_and_order_is_stored_once(deliver, database):
    one, two, three = (
        {"field": "field_changed", "value": {"object_id": str(n), "object_type": "ad"}}
        for n in (1, 2, 3)
    )
    for changes in ([one], [two, one], [one, two, three], [three, three]):
        payload = change("", {})
        payload["entry"][0]["changes"] = changes
        assert deliver(payload).status_code == 200
    assert {e.object_id: e.deliveries for e in events(database)} == {"1": 3, "2": 2, "3": 3}


def test_the_same_change_at_another_time_is_another_change(deliver, database):
    for time in (1_782_862_117, 1_782_862_118):
        deliver(change("field_changed", {"object_id": "1", "object_type": "ad"}, time=time))
    assert len(events(database)) == 2


def test_the_signature_is_over_the_bytes_as_they_came(service, database):
    changes = rb'[{"field":"a\/b","value":"\u00e4"}]'
    body = b'{"object":"ad_account","entry":[{"id":"1","changes":' + changes + b"}]}"
    assert service.post("/webhooks/meta", content=body, headers=signature(body)).status_code == 200
    assert [event.value for event in events(database)] == ["ä"]


def test_what_is_not_signed_by_the_app_is_refused_and_counted(service, database):
    unsigned = [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        {"X-Hub-Signature-256": "sha256=ä"},
        signature(b"{}", "another secret"),
        {"X-Hub-Signature": "sha1=" + hmac.new(APP_SECRET.encode(), b"{}", "sha1").hexdigest()},
    ]
    for headers in unsigned:
        encoded = {name: value.encode() for name, value in headers.items()}
        assert service.post("/webhooks/meta", content=b"{}", headers=encoded).status_code == 403
    assert events(database) == []
    assert outcomes(database) == {"bad signature": len(unsigned)}


def test_sha1_counts_where_it_is_allowed_and_never_beside_a_wrong_sha256(make_service):
    service = make_service(META_ADS_WEBHOOK_SHA1="true")
    sha1 = "sha1=" + hmac.new(APP_SECRET.encode(), b"[]", hashlib.sha1).hexdigest()

    def status(headers: dict[str, str]) -> int:
        return service.post("/webhooks/meta", content=b"[]", headers=headers).status_code

    assert status({"X-Hub-Signature": sha1}) == 200
    assert status({"X-Hub-Signature": sha1, "X-Hub-Signature-256": "sha256=0"}) == 403
    assert status({"X-Hub-Signature": sha1.replace("sha1=", "sha1=0")}) == 403


def test_without_an_app_secret_meta_is_asked_to_send_again(make_service):
    service = make_service(META_APP_SECRET="")
    assert service.post("/webhooks/meta", content=b"{}").status_code == 503


def test_a_body_beyond_the_limit_is_refused(service, database):
    body = b"[" + b" " * (4 * 1024 * 1024) + b"]"
    answer = service.post("/webhooks/meta", content=body, headers=signature(body))
    assert answer.status_code == 413
    assert outcomes(database) == {"too large": 1}


def test_a_signed_body_that_is_no_json_is_a_dead_letter(deliver, database):
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
        assert deliver(body).status_code == 200
    assert outcomes(database) == {"not json": 4}
    with database.connect() as connection:
        rows = connection.execute("select asset, reason from control.dead_letters").fetchall()
    assert [row["asset"] for row in rows] == ["webhooks"] * 4


def test_a_database_that_is_away_asks_meta_to_send_again(deliver, service, database):
    with database.connect() as connection:
        connection.execute("alter table control.webhook_events rename to elsewhere")
    payload = change("field_changed", {"object_id": "1", "object_type": "ad"})
    assert deliver(payload).status_code == 503
    with database.connect() as connection:
        connection.execute("alter table control.elsewhere rename to webhook_events")
    assert deliver(payload).status_code == 200
    assert len(events(database)) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["object", "entry", "id", "time", "changes", "field", "value", "level"])
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_any_json_becomes_events_that_can_be_stored(value: Any):
    for event in parse_payload(json.dumps(value).encode()):
        assert "\\u0000" not in event.value
        assert len(event.fingerprint) == 64
        assert event.is_actionable or event.reason


@given(st.binary(max_size=50))
def test_any_bytes_are_events_or_a_payload_error(body: bytes):
    with suppress(PayloadError):
        assert isinstance(parse_payload(body), list)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(json_values)
def test_any_json_is_stored(deliver, value: Any):
    assert deliver(value).status_code == 200
