"""The hourly look after connections, as Dagster runs it."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import dagster as dg
import pytest

from meta_ads_pipeline.automation.credentials import credential_schedules, credentials
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.webhook_subscriptions import WebhookSubscription, remember
from meta_ads_pipeline.credentials.connections import list_connections
from meta_ads_pipeline.resources import DatabaseResource
from meta_ads_pipeline.settings import get_settings
from tests.meta_app import APP_ID, APP_SECRET, DAY, PERSON, MetaApp, stored


@pytest.mark.usefixtures("_environment")
def test_the_job_renews_what_is_due_and_logs_no_token(meta: MetaApp, database: Database) -> None:
    now = datetime.now(UTC)
    token = meta.token(type="USER", issued_at=now - 50 * DAY, expires_at=now + 10 * DAY)
    stored(database, meta.settings(), token)
    fields = ("effective_status",)
    remember(database, WebhookSubscription(APP_ID, "https://here/", fields, True, now))
    with dg.DagsterInstance.ephemeral() as instance:
        result = credentials.execute_in_process(
            resources={"database": DatabaseResource()}, instance=instance
        )
        assert result.success
        events = "\n".join(str(entry) for entry in instance.all_logs(result.run_id))
    assert "connection default/main: renewed" in events
    assert f"act_{meta.account_ids[0]}: subscribed to webhooks" in events
    for secret in (PERSON, APP_SECRET, "EAASIM"):
        assert secret not in events
    (connection,) = list_connections(database)
    assert connection.facts.expires_at is not None
    assert connection.facts.expires_at > now + 59 * DAY


def test_the_schedule_is_on_by_itself() -> None:
    (schedule,) = credential_schedules
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "credentials"


@pytest.mark.usefixtures("_environment")
def test_a_tick_asks_for_a_run_only_where_there_is_a_connection(
    meta: MetaApp, database: Database
) -> None:
    (schedule,) = credential_schedules

    def tick() -> dg.ScheduleExecutionData:
        with dg.build_schedule_context(resources={"database": DatabaseResource()}) as context:
            return schedule.evaluate_tick(context)

    assert tick().run_requests == []
    assert "no connection" in str(tick().skip_message)
    stored(database, meta.settings(), meta.token())
    (request,) = tick().run_requests or []
    assert request.run_key is None


@pytest.fixture
def _environment(meta: MetaApp, database: Database):  # type: ignore[no-untyped-def]
    before = dict(os.environ)
    os.environ.update(
        {
            "META_ADS_DATABASE_URL": database.url,
            "META_ADS_HOME": str(meta.home),
            "META_GRAPH_URL": meta.server.url,
            "META_APP_ID": APP_ID,
            "META_APP_SECRET": APP_SECRET,
            "META_ADS_ENCRYPTION_KEYS": meta.key,
        }
    )
    get_settings.cache_clear()
    yield
    os.environ.clear()
    os.environ.update(before)
    get_settings.cache_clear()
