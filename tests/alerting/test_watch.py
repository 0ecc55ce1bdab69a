"""Each cause is one alert, told once to a real endpoint, and once more when it is over."""

from __future__ import annotations

from collections import namedtuple
from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import ValidationError

from meta_ads_pipeline.alerting import watch
from meta_ads_pipeline.alerting.sender import send_due
from meta_ads_pipeline.alerting.watch import CAUSES, update_watched
from meta_ads_pipeline.control.alerts import list_open_alerts
from meta_ads_pipeline.settings import Settings
from tests.alerting.test_sender import Endpoint, endpoint  # noqa: F401 - a fixture

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Usage = namedtuple("Usage", "total used free")

MARTS = """
create table marts.freshness (account_id text, is_active boolean, is_late boolean,
    data_lag_minutes int, expected_lag_minutes int, last_hour_at timestamptz,
    held_days int, held_dates text);
insert into marts.freshness values ('1', true, false, 10, 90, now(), 0, null);
create table marts.anomalies (account_id text, anomaly_key text, kind text, sentence text,
    severity text, status text, ends_at timestamptz);
create table marts.restatements (account_id text, event_date date, asset text, measure text,
    lag_days int, old_value numeric, change numeric, detected_at timestamptz);
create schema dagster;
create table dagster.runs (run_id text, pipeline_name text, status text, start_time float);
"""

PLANTED = {
    "stale_data": (
        "update marts.freshness set is_late = true, data_lag_minutes = 100",
        "update marts.freshness set is_late = false",
    ),
    "held_account_days": (
        "update marts.freshness set held_days = 2, held_dates = '2026-11-18, 2026-11-19'",
        "update marts.freshness set held_days = 0",
    ),
    "anomaly": (
        "insert into marts.anomalies values"
        " ('1', 'a', 'stopped', 'It fell to 0.', 'warn', 'open', '2026-11-20'),"
        " ('1', 'b', 'spike', 'Not of a chosen kind.', 'warn', 'open', '2026-11-20'),"
        " ('1', 'c', 'stopped', 'Long ago.', 'warn', 'open', '2026-10-20')",
        "update marts.anomalies set status = 'resolved'",
    ),
    "restatement": (
        "insert into marts.restatements values"
        " ('1', '2026-11-10', 'account_totals', 'spend', 9, 100, -6, '2026-11-20T09:00Z'),"
        " ('1', '2026-11-11', 'account_totals', 'spend', 8, 100, 4, '2026-11-20T09:00Z'),"
        " ('1', '2026-11-19', 'account_totals', 'spend', 1, 100, 50, '2026-11-20T09:00Z')",
        "delete from marts.restatements",
    ),
    "slow_run": (
        "insert into dagster.runs values ('r1', 'sync', 'STARTED',"
        "   extract(epoch from timestamptz '2026-11-20T05:00Z')),"
        " ('r2', 'sync', 'STARTED', extract(epoch from timestamptz '2026-11-20T11:00Z')),"
        " ('r3', 'sync', 'SUCCESS', extract(epoch from timestamptz '2026-11-19T11:00Z'))",
        "update dagster.runs set status = 'SUCCESS'",
    ),
    "webhook_silence": (
        "insert into control.webhook_requests select day, 'accepted', 1, 1, 1, 1"
        " from generate_series(timestamptz '2026-11-12T10:00Z', '2026-11-16T10:00Z', '1 day')"
        " as day",
        "insert into control.webhook_requests values ('2026-11-20T11:00Z', 'accepted', 1, 1, 1, 1)",
    ),
}


@pytest.fixture
def look(database, endpoint):  # noqa: F811
    with database.connect() as connection:
        connection.execute(MARTS)

    def look(now=NOON, **variables):
        settings = Settings(
            **{"META_ADS_ALERT_URLS": f"info={endpoint.url}", "META_ADS_SCHEDULES_ON": True}
            | variables
        )
        update_watched(database, settings, now)
        before = len(endpoint.received)
        send_due(database, settings, now)
        return [message["title"] for message in endpoint.received[before:]]

    return look


@pytest.mark.parametrize("kind", PLANTED)
def test_a_cause_is_told_once_and_its_end_once(database, look, kind):
    plant, mend = PLANTED[kind]
    assert look() == []
    with database.connect() as connection:
        connection.execute(plant)
    (title,) = look()
    (standing,) = list_open_alerts(database)
    assert standing.alert.kind == kind
    assert standing.alert.subject in title
    assert standing.alert.what_to_do
    assert look(NOON + timedelta(minutes=5)) == []
    assert [each.alert.kind for each in list_open_alerts(database)] == [kind]
    with database.connect() as connection:
        connection.execute(mend)
    (title,) = look(NOON + timedelta(minutes=10))
    assert title == f"[recovered] {standing.alert.subject}"
    assert look(NOON + timedelta(minutes=15)) == []
    assert list_open_alerts(database) == []


def test_room_and_versions_by_severity(database, look, monkeypatch):
    def severities(**variables):
        look(**variables)
        return {each.alert.kind: str(each.alert.severity) for each in list_open_alerts(database)}

    def free(gigabytes):
        usage = Usage(100e9, 0, gigabytes * 1e9)
        monkeypatch.setattr(watch.shutil, "disk_usage", lambda _path: usage)

    free(50)
    assert severities() == {}
    free(4)
    assert severities() == {"disk": "warning"}
    free(0.5)
    assert severities() == {"disk": "critical"}
    free(50)
    assert severities(META_ADS_DATABASE_GIGABYTES="1000") == {}
    assert severities(META_ADS_DATABASE_GIGABYTES="0.0001") == {"database_capacity": "critical"}
    assert severities(META_API_VERSION="v24.0") == {"api_version": "critical"}
    assert severities(META_API_VERSION="v25.0") == {"api_version": "info"}
    assert severities(META_API_VERSION="v99.0") == {}


def test_without_schedules_nobody_is_told_that_data_are_late(database, look):
    with database.connect() as connection:
        connection.execute(PLANTED["stale_data"][0])
    assert look(META_ADS_SCHEDULES_ON=False) == []


def test_a_cause_that_cannot_be_read_keeps_its_alerts_and_costs_no_other(database, look):
    with database.connect() as connection:
        connection.execute(PLANTED["stale_data"][0])
        connection.execute(PLANTED["slow_run"][0])
    assert len(look()) == 2
    with database.connect() as connection:
        connection.execute("alter table marts.freshness rename column is_late to late")
        connection.execute(PLANTED["slow_run"][1])
    assert [title.split("]")[0] for title in look(NOON + timedelta(minutes=5))] == ["[recovered"]
    assert [each.alert.kind for each in list_open_alerts(database)] == ["stale_data"]


def test_before_anything_is_built_there_is_nothing_to_tell(database):
    standing = update_watched(database, Settings(META_ADS_SCHEDULES_ON=True), NOON)
    assert standing["api_version"] == 0
    assert "stale_data" not in standing
    assert set(standing) < set(CAUSES)


def test_kinds_of_anomalies_are_checked():
    assert Settings(META_ADS_ALERT_ANOMALIES="spike, drop").alert_anomalies == ("spike", "drop")
    assert Settings(META_ADS_ALERT_ANOMALIES="none").alert_anomalies == ()
    with pytest.raises(ValidationError, match="META_ADS_ALERT_ANOMALIES"):
        Settings(META_ADS_ALERT_ANOMALIES="spikes")


def test_the_end_of_the_present_version_is_known():
    assert watch.known_version(Settings().api_version).ends > date(2027, 1, 1)
