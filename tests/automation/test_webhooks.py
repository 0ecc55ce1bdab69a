"""From an announced change to the landed object: real client, real simulator, real ticks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from meta_ads_pipeline.automation.webhooks import WEBHOOKS, follow_webhooks
from meta_ads_pipeline.control import webhook_events
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.resources import MetaAdsResource
from meta_ads_pipeline.run_tags import REFRESH_TAG
from meta_ads_pipeline.serving.webhook_payload import parse_payload
from meta_ads_pipeline.transform.dbt_cli import dbt_cli
from meta_ads_pipeline.transform.project import dbt_project
from meta_graph_simulator.config import DEFAULT_TOKEN

CONTEXT = PullContext(sync_id="sync-1", run_id="run-1")


class SimulatorResource(MetaAdsResource):
    """The client of the test for every account."""

    url: str

    @cached_property
    def only(self) -> MetaAdsClient:
        return MetaAdsClient(access_token=DEFAULT_TOKEN, graph_url=self.url)

    def client_for(self, account_id: str) -> MetaAdsClient:
        return self.only


@pytest.fixture
def account(database, client, simulator):
    account = pull_ad_accounts(database, client, ctx=CONTEXT)[0]
    today = simulator.control.now().astimezone(ZoneInfo(account.timezone)).date()
    for kind in ("ad", "adset", "campaign"):
        pull_entities(database, client, account, kind, [today], CONTEXT)
    return account


@pytest.fixture
def announce(database, account):
    """Store a change as the receiver does."""

    def announce(value, *, field="field_changed", account_id=account.account_id):
        entry = {"id": account_id, "time": 1, "changes": [{"field": field, "value": value}]}
        body = json.dumps({"object": "ad_account", "entry": [entry]}).encode()
        webhook_events.store(database, parse_payload(body), body_bytes=len(body))

    return announce


@pytest.fixture
def tick(instance, resources, simulator):
    """One evaluation of the sensor with the cursor of the one before."""
    cursor = None

    def tick():
        nonlocal cursor
        with dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            resources={
                **resources,
                "meta": SimulatorResource(url=simulator.url),
                "dbt": dbt_cli(dbt_project()),
            },
        ) as context:
            result = follow_webhooks(context)
        cursor = result.cursor if isinstance(result, dg.SensorResult) else cursor
        return result

    return tick


@pytest.fixture
def outdated(query):
    """Make what is landed of an object older than what Meta says."""

    def outdated(table, object_id):
        query(
            f"update raw.{table} set name = 'as it was', document_hash = 'old',"
            " pulled_at = pulled_at - interval '1 day' where id = %s returning id",
            object_id,
        )

    return outdated


def names(query, table, ids):
    return {r["id"]: r["name"] for r in query(f"select id, name from raw.{table}"
            " where id = any(%s)", list(ids))}  # fmt: skip


def test_an_announced_object_is_read_again_and_the_dimensions_are_built_once(
    announce, tick, outdated, query, simulator
):
    ads = [row["id"] for row in query("select id from raw.ads order by id limit 2")]
    campaign = query("select id from raw.campaigns limit 1")[0]["id"]
    for table, object_id in (("ads", ads[0]), ("ads", ads[1]), ("campaigns", campaign)):
        outdated(table, object_id)
    announce({"object_id": ads[0], "object_type": "ad", "changed_fields": ["effective_status"]})
    announce({"ad_object_ids": [ads[1]]}, field="ad_recommendations")  # no level told
    announce({"id": campaign, "level": "CAMPAIGN"}, field="with_issues_ad_objects")
    before = simulator.control.stats()["calls"]

    result = tick()

    assert "as it was" not in names(query, "ads", ads).values()
    assert "as it was" not in names(query, "campaigns", [campaign]).values()
    (request,) = result.run_requests
    assert request.tags[REFRESH_TAG] == WEBHOOKS
    paths = [call["path"] for call in simulator.control.calls()[before:]]
    assert sorted(paths) == sorted(f"/{object_id}" for object_id in (*ads, campaign))
    assert {row["status"] for row in query("select status from control.webhook_events")} == {"done"}
    assert isinstance(tick(), dg.SkipReason)


def test_a_deleted_object_is_landed_as_deleted(announce, tick, query, simulator):
    ad = query("select id from raw.ads limit 1")[0]["id"]
    simulator.control.delete_object(ad)
    announce({"object_id": ad, "object_type": "ad"})
    tick()
    assert query("select is_deleted from raw.ads where id = %s", ad) == [{"is_deleted": True}]


def test_an_object_that_nobody_knows_fails_later_and_costs_no_other(
    announce, tick, outdated, query, database
):
    ad = query("select id from raw.ads limit 1")[0]["id"]
    outdated("ads", ad)
    announce({"object_id": "999999999999", "object_type": "ad"})
    announce({"object_id": ad, "object_type": "ad"})
    tick()
    assert "as it was" not in names(query, "ads", [ad]).values()
    (waiting,) = webhook_events.recent(database, status="pending")
    assert (waiting.object_id, waiting.attempts) == ("999999999999", 1)
    assert waiting.reason

    soon = datetime.now(UTC) + timedelta(seconds=1)
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert webhook_events.due_objects(database, [waiting.account_id], soon, limit=9) == []
    assert webhook_events.due_objects(database, [waiting.account_id], later, limit=9)
    for _ in range(webhook_events.MOST_ATTEMPTS):
        webhook_events.fail(database, [waiting.webhook_event_id], "still nothing", later)
    (given_up,) = webhook_events.recent(database, status="failed")
    assert given_up.reason == "still nothing"
    assert webhook_events.replay(database) == 1
    assert webhook_events.recent(database, status="failed") == []


def test_an_account_that_is_not_synced_waits(announce, tick, database):
    announce({"object_id": "1", "object_type": "ad"}, account_id="424242")
    assert isinstance(tick(), dg.SkipReason)
    assert len(webhook_events.recent(database, status="pending")) == 1


def test_an_error_of_the_api_is_tried_again_later(
    announce, tick, outdated, query, database, simulator
):
    ad = query("select id from raw.ads limit 1")[0]["id"]
    outdated("ads", ad)
    announce({"object_id": ad, "object_type": "ad"})
    simulator.control.add_fault("rate_limit", times=50)
    tick()
    (waiting,) = webhook_events.recent(database, status="pending")
    assert waiting.reason
    simulator.control.clear_faults()
    query("update control.webhook_events set next_attempt_at = now() returning 1")
    tick()
    assert "as it was" not in names(query, "ads", [ad]).values()
