"""Each of twelve causes is one alert, told once to a real endpoint, and once more when it is over.

The causes are planted with the pipeline's own functions, in tables that dbt has made.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from pydantic import ValidationError
from sqlalchemy import NullPool, create_engine

from meta_ads_pipeline.alerting import watch
from meta_ads_pipeline.alerting.sender import send_due
from meta_ads_pipeline.alerting.watch import CAUSES, update_watched
from meta_ads_pipeline.automation.sensors import open_slices
from meta_ads_pipeline.automation.slice_alerts import update_slice_alerts
from meta_ads_pipeline.control import slices, webhook_events
from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.control.alerts import Alert, Severity, list_open_alerts, open_alert
from meta_ads_pipeline.control.check_results import DayResult, record_results
from meta_ads_pipeline.control.slices import Attempt, SliceCounts, SliceKey
from meta_ads_pipeline.credentials.checks import connections_in_use, validate_connection
from meta_ads_pipeline.credentials.renewal import refresh_due_connections
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.meta_api.usage import Usage, UseCase
from meta_ads_pipeline.rate_limit.limiter import PostgresRateLimiter
from meta_ads_pipeline.settings import Settings
from tests.alerting.test_sender import Endpoint, endpoint  # noqa: F401 - a fixture
from tests.meta_app import DAY, MetaApp, stored

NOW = datetime.now(UTC).replace(microsecond=0)
TODAY = NOW.date()
BY = Attempt("sync", "run")
DiskUsage = namedtuple("DiskUsage", "total used free")


class World:
    """One ad account that is as it should be until something is planted; nothing is at work."""

    def __init__(self, database, app: MetaApp, endpoint: Endpoint, monkeypatch) -> None:  # noqa: F811
        self.database, self.app, self._endpoint = database, app, endpoint
        self._monkeypatch = monkeypatch
        self.now = NOW
        self.variables: dict[str, str] = {
            "META_ADS_ALERT_URLS": f"info={endpoint.url}",
            "META_ADS_SCHEDULES_ON": "true",
            "META_ADS_DATABASE_GIGABYTES": "1000",
        }
        self.account = app.account_ids[0]
        stored(database, app.settings(), app.token(), accounts=[self.account])
        self.execute(
            "update control.ad_accounts set timezone = 'UTC',"
            " created_at = now() - interval '1 day'",
            "create schema dagster",
        )
        engine = create_engine(
            database.url, connect_args={"options": "-c search_path=dagster"}, poolclass=NullPool
        )
        RunStorageSqlMetadata.create_all(engine)
        self.leave_disk(50)
        self.pull(NOW)

    def execute(self, *statements: str) -> None:
        with self.database.connect() as connection:
            for statement in statements:
                connection.execute(statement, {"account": self.account, "now": NOW})

    def leave_disk(self, gigabytes: float) -> None:
        usage = DiskUsage(100e9, 0, gigabytes * 1e9)
        self._monkeypatch.setattr(watch.shutil, "disk_usage", lambda _path: usage)

    def pull(self, at: datetime) -> None:
        """Land today and yesterday, without rows, as pulled at that instant."""
        counts = dict.fromkeys((TODAY - DAY, TODAY), SliceCounts())
        with self.database.connect() as connection:
            for asset in INSIGHTS_TABLES:
                key = SliceKey(self.account, asset)
                slices.claim(connection, key, list(counts), BY)
                slices.finish(connection, key, counts, BY, pulled_at=at, api_calls={})

    def fail_pull(self, times: int) -> None:
        key, day = SliceKey(self.account, "insights_reach"), [TODAY - DAY]
        with self.database.connect() as connection:
            for _ in range(times):
                slices.claim(connection, key, day, BY)
                slices.fail(connection, key, day, BY, kind="server", message="code 2")

    def pull_again(self) -> None:
        counts = {TODAY - DAY: SliceCounts()}
        with self.database.connect() as connection:
            key = SliceKey(self.account, "insights_reach")
            slices.finish(connection, key, counts, BY, pulled_at=NOW, api_calls={})

    def validate(self) -> None:
        """The connection's token is looked at, as after a refused call."""
        settings = self.app.settings(**self.variables)
        (connection,) = connections_in_use(self.database, settings)
        validate_connection(self.database, settings, connection, self.now)

    def use_budget(self, percent: float) -> None:
        limiter = PostgresRateLimiter(self.database, app="app", connection_id="c1")
        limiter.before_call(self.account, UseCase.INSIGHTS, 1)
        usage = Usage(insights_account_percent=percent)
        limiter.after_call(self.account, UseCase.INSIGHTS, usage, None, 1)
        limiter.close()

    def check_day(self, status: str) -> None:
        result = DayResult(self.account, TODAY - DAY, status, violations=int(status == "failed"))  # type: ignore[arg-type]
        check = ("raw/insights_hourly", "schema")
        record_results(self.database, check, "block", [result], run_id="run", at=self.now)

    def look(self) -> list[str]:
        """The titles that arrive when everything that looks and sends has its turn."""
        self.now += timedelta(minutes=5)
        settings = self.app.settings(**self.variables)
        before = len(self._endpoint.received)
        refresh_due_connections(self.database, settings, self.now)
        update_slice_alerts(self.database, open_slices(self.database), self.now)
        update_watched(self.database, settings, self.now)
        send_due(self.database, settings, self.now)
        return [message["title"] for message in self._endpoint.received[before:]]

    @property
    def open_kinds(self) -> list[str]:
        return sorted(each.alert.kind for each in list_open_alerts(self.database))


@dataclass(frozen=True)
class Planted:
    """How a cause comes about and how it ends. What is near it, and none, is planted with it."""

    plant: Callable[[World], object]
    mend: Callable[[World], object]


def refuse_token(world: World) -> None:
    world.app.control.add_fault("token", match={"edge": "me/adaccounts"}, subcode=460)
    world.validate()


def take_token(world: World) -> None:
    world.app.control.clear_faults()
    world.now += timedelta(hours=1)


def sql(*statements: str) -> Callable[[World], object]:
    return lambda world: world.execute(*statements)


def setting(name: str, value: str) -> Callable[[World], object]:
    return lambda world: world.variables.update({name: value})


def announce(world: World) -> None:
    event = webhook_events.WebhookEvent(
        "a", "ad_account", world.account, "with_issues_ad_objects", "ad", "1", "{}", NOW
    )
    webhook_events.store(world.database, [event], body_bytes=100)


PLANTED = {
    "connection_paused": Planted(refuse_token, take_token),
    "call_budget": Planted(lambda w: w.use_budget(91), lambda w: w.use_budget(40)),
    "slices_failing": Planted(lambda w: w.fail_pull(3), lambda w: w.pull_again()),
    "stale_data": Planted(
        lambda w: w.pull(NOW - timedelta(hours=6)), lambda w: w.pull(datetime.now(UTC))
    ),
    "held_account_days": Planted(lambda w: w.check_day("failed"), lambda w: w.check_day("passed")),
    "anomaly": Planted(
        sql(
            "insert into marts.anomalies (workspace_id, account_id, level, external_entity_id,"
            " grain, event_date, measure, value, expected, severity, status, anomaly_key, kind,"
            " sentence, ends_at)"
            " select workspace_id, account_id, 'account', account_id, 'day', ends_at::date,"
            "  'spend', 0, 100, 'warn', 'open', key, kind, sentence, ends_at"
            " from control.ad_accounts, (values"
            "  ('a', 'stopped', 'It fell to 0.', %(now)s),"
            "  ('b', 'spike', 'Not of a chosen kind.', %(now)s),"
            "  ('c', 'stopped', 'Long ago.', %(now)s - interval '30 days'))"
            "  as planted (key, kind, sentence, ends_at)"
            " where account_id = %(account)s"
        ),
        sql("update marts.anomalies set status = 'resolved'"),
    ),
    "restatement": Planted(
        sql(
            "insert into raw.insights_changes (account_id, event_date, asset, entity_id, measure,"
            " old_value, new_value, previous_pulled_at, detected_at)"
            " select %(account)s, %(now)s::date - age, 'account_totals', %(account)s, 'spend',"
            "  '100', (100 + change)::text, %(now)s - interval '1 hour', %(now)s"
            " from (values (9, -6), (8, 4), (1, 50)) as changes (age, change)"
        ),
        sql("update raw.insights_changes set detected_at = detected_at - interval '1 day'"),
    ),
    "database_capacity": Planted(
        setting("META_ADS_DATABASE_GIGABYTES", "0.0001"),
        setting("META_ADS_DATABASE_GIGABYTES", "1000"),
    ),
    "disk": Planted(lambda w: w.leave_disk(4), lambda w: w.leave_disk(50)),
    "slow_run": Planted(
        sql(
            "insert into dagster.runs (run_id, pipeline_name, status, start_time)"
            " select run, 'sync', state, extract(epoch from %(now)s - interval '1 hour' * hours)"
            " from (values ('r1', 'STARTED', 7), ('r2', 'STARTED', 1), ('r3', 'SUCCESS', 30))"
            " as runs (run, state, hours)"
        ),
        sql("update dagster.runs set status = 'SUCCESS'"),
    ),
    "webhook_silence": Planted(
        sql(
            "insert into control.webhook_requests select day, 'accepted', 1, 1, 1, 1"
            " from generate_series(%(now)s - interval '8 days', %(now)s - interval '4 days',"
            " '1 day') as day"
        ),
        announce,
    ),
    "api_version": Planted(
        setting("META_API_VERSION", "v24.0"), lambda w: w.variables.pop("META_API_VERSION")
    ),
}


@pytest.fixture
def world(built_database, endpoint, meta, monkeypatch):  # noqa: F811
    return World(built_database, meta, endpoint, monkeypatch)


def test_twelve_causes_are_told_once_each_and_their_ends_once(world):
    assert world.look() == []
    for kind, cause in PLANTED.items():
        before = world.open_kinds
        cause.plant(world)
        titles = world.look()
        assert sorted([*before, kind]) == world.open_kinds
        assert len(titles) == 1, (kind, titles)
        assert "recovered" not in titles[0]
    assert len(world.open_kinds) == 12
    assert all(each.alert.what_to_do for each in list_open_alerts(world.database))
    assert world.look() == []
    # A version that has ended comes first: with it no token can be looked at.
    for kind, cause in reversed(PLANTED.items()):
        before = world.open_kinds
        cause.mend(world)
        titles = world.look()
        assert [title.split("]")[0] for title in titles] == ["[recovered"], (kind, titles)
        before.remove(kind)
        assert world.open_kinds == before
    assert world.look() == []


def test_room_and_versions_by_severity(world):
    def severities():
        world.look()
        return {
            each.alert.kind: str(each.alert.severity) for each in list_open_alerts(world.database)
        }

    def with_setting(name, value):
        world.variables[name] = value
        return severities()

    world.leave_disk(4)
    assert severities() == {"disk": "warning"}
    world.leave_disk(0.5)
    assert severities() == {"disk": "critical"}
    world.leave_disk(50)
    capacity = "META_ADS_DATABASE_GIGABYTES"
    assert with_setting(capacity, "0.0001") == {"database_capacity": "critical"}
    assert with_setting(capacity, "1000") == {}
    assert with_setting("META_API_VERSION", "v24.0") == {"api_version": "critical"}
    assert with_setting("META_API_VERSION", "v25.0") == {"api_version": "info"}
    assert with_setting("META_API_VERSION", "v99.0") == {}


def test_an_account_that_was_seen_for_the_first_time_is_given_time(world):
    PLANTED["stale_data"].plant(world)
    world.execute("truncate raw.insights_hourly")
    assert len(world.look()) == 1
    world.execute("update control.ad_accounts set created_at = now()")
    assert [title.split("]")[0] for title in world.look()] == ["[recovered"]


def test_without_schedules_nobody_is_told_that_data_are_late(world):
    world.variables["META_ADS_SCHEDULES_ON"] = "false"
    PLANTED["stale_data"].plant(world)
    assert world.look() == []


def test_a_cause_that_cannot_be_read_keeps_its_alerts_and_costs_no_other(world):
    PLANTED["stale_data"].plant(world)
    PLANTED["slow_run"].plant(world)
    assert len(world.look()) == 2
    world.execute("alter view marts.freshness rename column is_late to late")
    PLANTED["slow_run"].mend(world)
    assert [title.split("]")[0] for title in world.look()] == ["[recovered"]
    assert world.open_kinds == ["stale_data"]


def test_before_anything_is_built_there_is_nothing_to_tell(database):
    standing = update_watched(database, Settings(META_ADS_SCHEDULES_ON=True), NOW)
    assert standing["api_version"] == 0
    assert "stale_data" not in standing
    assert set(standing) < set(CAUSES)


def test_what_only_a_pull_would_close_is_over_when_the_account_is_synced_no_more(database):
    accounts = [Account("12", "UTC", "EUR"), Account("123", "UTC", "EUR")]
    with database.connect() as connection:
        save_accounts(connection, accounts)
    subjects = ("ad account act_12 (ads_insights)", "ad account act_123 (ads_insights)", "app 12")
    for subject in subjects:
        open_alert(database, Alert("call_budget", subject, Severity.WARNING, "Full.", "Wait."))
    for kind in ("timezone_changed", "account_unreadable"):
        open_alert(database, Alert(kind, "ad account 12", Severity.WARNING, "Changed.", "Pull."))
    settings = Settings(META_ADS_SCHEDULES_ON=True)
    update_watched(database, settings, NOW)
    assert len(list_open_alerts(database)) == 5
    with database.connect() as connection:
        connection.execute("update control.ad_accounts set is_active = account_id <> '12'")
    update_watched(database, settings, NOW)
    left = {(each.alert.kind, each.alert.subject) for each in list_open_alerts(database)}
    assert left == {
        ("call_budget", subjects[1]),
        ("call_budget", subjects[2]),
        ("account_unreadable", "ad account 12"),
    }


def test_kinds_of_anomalies_are_checked():
    assert Settings(META_ADS_ALERT_ANOMALIES="spike, drop").alert_anomalies == ("spike", "drop")
    assert Settings(META_ADS_ALERT_ANOMALIES="none").alert_anomalies == ()
    with pytest.raises(ValidationError, match="META_ADS_ALERT_ANOMALIES"):
        Settings(META_ADS_ALERT_ANOMALIES="spikes")


def test_the_end_of_the_present_version_is_known():
    assert watch.known_version(Settings().api_version).ends > date(2027, 1, 1)
