"""From `meta-ads webhooks subscribe` to a signed delivery of a change that is stored."""

from __future__ import annotations

import time

import pytest

from meta_ads_pipeline.cli.app import run
from meta_ads_pipeline.control import webhook_events
from meta_ads_pipeline.control.webhook_subscriptions import attempts
from meta_ads_pipeline.settings import get_settings
from tests.meta_app import APP_ID, APP_SECRET, SYSTEM, MetaApp, stored
from tests.serving.conftest import VERIFY_TOKEN


@pytest.fixture
def subscribed(meta: MetaApp, database, make_service, monkeypatch):
    """A receiver of the simulated app, and the settings that name it."""
    service = make_service(META_APP_SECRET=APP_SECRET)
    variables = {
        "META_ADS_DATABASE_URL": database.url,
        "META_ADS_HOME": str(meta.home),
        "META_GRAPH_URL": meta.server.url,
        "META_APP_ID": APP_ID,
        "META_APP_SECRET": APP_SECRET,
        "META_ADS_ENCRYPTION_KEYS": meta.key,
        "META_APP_VERIFY_TOKEN": VERIFY_TOKEN,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stored(database, meta.settings(), meta.token(SYSTEM))
    get_settings.cache_clear()
    yield service
    get_settings.cache_clear()


def test_a_change_at_meta_is_delivered_and_stored(subscribed, meta, database, capfd):
    assert run(["webhooks", "subscribe", "--url", subscribed.url]) == 0
    said = capfd.readouterr().out
    assert all(f"act_{account_id}: subscribed" in said for account_id in meta.account_ids)
    assert attempts(database, APP_ID) == dict.fromkeys(meta.account_ids)
    account_id = meta.account_ids[0]
    (first, second, third, *_) = _ads(meta, account_id)
    meta.control.delete_object(first["id"])
    meta.control.change_object(second["id"], status="PAUSED")
    made = meta.control.add_ad(second["adset_id"], "Autumn")
    issue = {"error_code": 2460003, "error_summary": "Rejected", "error_type": "HARD_ERROR"}
    meta.control.change_object(third["id"], effective_status="WITH_ISSUES", issues_info=[issue])
    expected = {
        ("field_changed", first["id"]),
        ("field_changed", second["id"]),
        ("in_process_ad_objects", made),
        ("field_changed", third["id"]),
        ("with_issues_ad_objects", third["id"]),
    }
    deadline = time.monotonic() + 20
    while len(events := webhook_events.recent(database, status=None, limit=9)) < len(expected):
        assert time.monotonic() < deadline, events
        time.sleep(0.05)
    assert {(event.field, event.object_id) for event in events} == expected
    assert {(event.account_id, event.object_level) for event in events} == {(account_id, "ad")}
    assert {(event.status, event.deliveries) for event in events} == {("pending", 1)}


def test_a_receiver_that_fails_the_handshake_is_not_subscribed(
    subscribed, meta, monkeypatch, capfd
):
    monkeypatch.setenv("META_APP_VERIFY_TOKEN", "another one")
    get_settings.cache_clear()
    assert run(["webhooks", "subscribe", "--url", subscribed.url]) == 1
    assert "2200" in capfd.readouterr().err
    assert "subscribed_apps" not in meta.edges()


def _ads(meta, account_id):
    from meta_ads_pipeline.meta_api.client import MetaAdsClient

    options = {"app_id": APP_ID, "app_secret": APP_SECRET, "graph_url": meta.server.url}
    with MetaAdsClient(access_token=SYSTEM, **options) as client:
        ads = client.get_ads(account_id)
    return [ad for ad in ads if ad["effective_status"] == "ACTIVE"]
