"""An ad account that appears after `meta-ads webhooks subscribe` is subscribed by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from meta_ads_pipeline.cli.doctor_webhooks import examine_webhooks
from meta_ads_pipeline.control.alerts import list_open_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.webhook_subscriptions import (
    RETRY_REFUSED_AFTER,
    WebhookSubscription,
    attempts,
    remember,
)
from meta_ads_pipeline.credentials.webhook_accounts import subscribe_new_accounts
from meta_ads_pipeline.settings import Settings
from tests.meta_app import APP_ID, SYSTEM, MetaApp, stored

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


class World:
    """Three ad accounts that nobody has subscribed."""

    def __init__(self, database: Database, meta: MetaApp) -> None:
        self.database, self.meta = database, meta
        self.settings = meta.settings(META_APP_VERIFY_TOKEN="any")
        stored(database, self.settings, meta.token(SYSTEM))
        self.accounts = meta.account_ids

    def chose(self, *, every_account: bool = True) -> None:
        fields = ("effective_status",)
        remember(
            self.database,
            WebhookSubscription(APP_ID, "https://here/webhooks/meta", fields, every_account, NOW),
        )

    def hourly(self, at: datetime = NOW, settings: Settings | None = None) -> list[str]:
        return subscribe_new_accounts(self.database, settings or self.settings, at)

    def asked(self) -> list[str]:
        """The accounts that Meta was asked to announce."""
        calls = self.meta.control.calls()
        return [call["account_id"] for call in calls if call["edge"] == "subscribed_apps"]

    def alerts(self) -> list[str]:
        return [
            each.alert.message
            for each in list_open_alerts(self.database)
            if each.alert.kind == "webhook_subscription"
        ]

    def doctor(self) -> tuple[str, str]:
        (finding,) = examine_webhooks(self.settings, self.database)
        return str(finding.outcome), finding.message

    def refuse(self, kind: str = "error", **fault: object) -> str:
        match = {"edge": "subscribed_apps", "account": self.accounts[1]}
        return self.meta.control.add_fault(kind, match=match, **fault)


@pytest.fixture
def world(database: Database, meta: MetaApp) -> World:
    return World(database, meta)


def test_what_is_not_subscribed_is_asked_for_once(world: World) -> None:
    world.chose()
    assert world.hourly() == world.accounts
    assert world.hourly(NOW + HOUR) == []
    assert world.asked() == world.accounts
    outcome, said = world.doctor()
    assert (outcome, said[:33]) == ("pass", "3 of 3 ad accounts are subscribed")


def test_nothing_is_subscribed_that_nobody_chose(world: World) -> None:
    assert world.hourly() == []
    assert world.doctor() == ("warn", "META_APP_VERIFY_TOKEN is set, nothing is subscribed")
    world.chose(every_account=False)
    assert world.hourly() == []
    world.chose()
    other = world.settings.model_copy(update={"app_id": "another app"})
    assert world.hourly(settings=other) == []
    assert world.asked() == []
    # Single accounts that are named later do not end the choice of all.
    world.chose(every_account=False)
    assert world.hourly() == world.accounts


def test_a_refusal_is_told_once_costs_no_other_and_is_tried_a_day_later(world: World) -> None:
    world.chose()
    refused = world.accounts[1]
    fault = world.refuse(code=200, message="(#200) Requires ads_management permission")
    assert world.hourly() == [each for each in world.accounts if each != refused]
    for hours in (1, 2, 23):
        assert world.hourly(NOW + hours * HOUR) == []
    assert world.asked().count(refused) == 1
    (said,) = world.alerts()
    assert f"act_{refused}" in said
    assert "ads_management" in said
    assert world.doctor()[0] == "warn"
    world.meta.control.remove_fault(fault)
    assert world.hourly(NOW + RETRY_REFUSED_AFTER) == [refused]
    assert world.alerts() == []


def test_what_passes_is_no_alert_and_tried_within_the_hour(world: World) -> None:
    world.chose()
    fault = world.refuse("transient", code=2)
    assert world.accounts[1] not in world.hourly()
    assert world.alerts() == []
    world.meta.control.remove_fault(fault)
    assert world.hourly(NOW + HOUR) == [world.accounts[1]]


def test_an_account_that_was_lost_is_subscribed_anew_when_it_is_back(world: World) -> None:
    world.chose()
    world.hourly()
    lost = world.accounts[2]
    with world.database.connect() as connection:
        connection.execute(
            "insert into control.unreadable_accounts (account_id, since, reason, next_try_at)"
            " values (%s, now(), 'gone', now())",
            [lost],
        )
    assert world.hourly() == []
    assert lost not in attempts(world.database, APP_ID)
    with world.database.connect() as connection:
        connection.execute("delete from control.unreadable_accounts")
    assert world.hourly() == [lost]


def test_a_connection_that_cannot_subscribe(world: World) -> None:
    world.chose()
    with world.database.connect() as connection:
        connection.execute("update control.connections set status = 'expired'")
    assert world.hourly() == []
    assert world.alerts() == []  # A paused connection has one of its own.
    with world.database.connect() as connection:
        connection.execute("update control.connections set status = 'active', app_id = '777'")
    assert world.hourly() == []
    assert world.asked() == []
    (said,) = world.alerts()
    assert "777" in said
