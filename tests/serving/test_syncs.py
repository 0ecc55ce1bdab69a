"""Starting, watching and cancelling runs over HTTP, and what else keeps the service informed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from meta_ads_pipeline.control import api_keys, dead_letters
from meta_ads_pipeline.control.alerts import Alert, Severity, open_alert
from meta_ads_pipeline.control.dead_letters import DeadLetter
from meta_ads_pipeline.settings import Settings
from tests.conftest import copy_of_template
from tests.serving import dagster_records
from tests.serving.conftest import Service, running_service
from tests.serving.small_marts import DEFAULT, OTHER

ACCOUNTS = (("1", DEFAULT, "Europe/Berlin"), ("2", DEFAULT, "Asia/Tokyo"), ("9", OTHER, "UTC"))
DATES = {"start": "2026-11-10", "end": "2026-11-12"}


class World:
    """Two workspaces with a connection and keys each, a service, and a Dagster that queues."""

    def __init__(self, database: Any, service: Service, settings: Settings) -> None:
        self.database, self.service, self.settings = database, service, settings
        self.keys = {
            name: api_keys.create_key(
                database, workspace=name, member=name, name="x", role="operator"
            )[0]
            for name in ("default", "other")
        }
        self.viewer = api_keys.create_key(database, workspace="default", member="reader", name="x")[
            0
        ]

    def ask(self, method: str, path: str, body: Any = None, *, of: str = "default", key: str = ""):
        headers = {"Authorization": f"Bearer {key or self.keys[of]}"}
        return self.service.request(method, f"/workspaces/{of}{path}", json=body, headers=headers)


@pytest.fixture(scope="module")
def world(postgres_url: str, template_database: str) -> Iterator[World]:
    with copy_of_template(postgres_url, template_database) as database:
        with database.connect() as connection:
            connection.execute(
                "insert into control.workspaces (workspace_id, name) values (%s, 'other')", [OTHER]
            )
            connection.execute(
                "insert into control.connections (workspace_id, name)"
                " select workspace_id, 'main' from control.workspaces"
            )
            connection.cursor().executemany(
                "insert into control.ad_accounts (account_id, workspace_id, timezone, currency,"
                " connection_id) select %s, %s, %s, 'EUR', connection_id from control.connections"
                " where workspace_id = %s",
                [(account, space, zone, space) for account, space, zone in ACCOUNTS],
            )
        dagster_records.make_tables(database)
        with dagster_records.webserver(database) as url:
            settings = Settings(META_ADS_DAGSTER_URL=url)  # type: ignore[call-arg]
            with running_service(settings, database) as service:
                yield World(database, service, settings)


@pytest.fixture(autouse=True)
def _no_runs(world: World) -> None:
    with world.database.connect() as connection:
        connection.execute("truncate dagster.runs, dagster.run_tags, dagster.event_logs")


def test_a_backfill_is_queued_with_the_connections_accounts_and_dates(world: World) -> None:
    answer = world.ask("POST", "/connections/main/backfill", DATES)
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert body["account_ids"] == ["1", "2"]
    assert body["link"].startswith(f"{world.settings.dagster_url}/runs/{body['run_id']}")
    run = world.ask("GET", body["progress"].removeprefix("/workspaces/default")).json()
    assert (run["job"], run["status"], run["started_by"]) == ("sync", "QUEUED", "default")
    assert (run["start_date"], run["end_date"]) == ("2026-11-10", "2026-11-12")
    assert run["slices_expected"] == 2 * 3 * 8
    assert run["progress_percent"] == 0


@pytest.mark.parametrize(
    ("job", "tags", "path", "status"),
    [
        ("sync", {"accounts": "1"}, "backfill", 409),
        ("sync", {}, "backfill", 409),
        ("refresh_insights", {"accounts": "2"}, "backfill", 409),
        ("sync", {"accounts": "9"}, "backfill", 202),
        ("refresh_entities", {"accounts": "1"}, "backfill", 202),
        ("rebuild_history", {}, "backfill", 202),
    ],
)
def test_what_is_in_flight_is_not_started_again(world, job, tags, path, status) -> None:
    dates = dagster_records.range_of(date(2026, 11, 12), date(2026, 11, 20))
    other = dagster_records.add_run(world.database, "run-1", job=job, **tags, **dates)
    answer = world.ask("POST", f"/connections/main/{path}", DATES)
    assert answer.status_code == status, answer.text
    if status == 409:
        assert answer.json()["run_id"] == other
        assert other in answer.json()["detail"]
    later = {"start": "2026-11-21", "end": "2026-11-21"}
    assert world.ask("POST", f"/connections/main/{path}", later).status_code == 202


def test_the_environments_connection_is_there_before_the_first_run(make_service, database) -> None:
    """A new deployment with META_ACCESS_TOKEN: known, and what it lacks is said."""
    service = make_service(META_ACCESS_TOKEN="EAAB0token", META_GRAPH_URL="https://graph.example")
    key, _ = api_keys.create_key(
        database, workspace="default", member="somebody", name="x", role="operator"
    )
    answer = service.request(
        "POST",
        "/workspaces/default/connections/environment/backfill",
        json=DATES,
        headers={"Authorization": f"Bearer {key}"},
    )
    assert answer.status_code == 422, answer.text
    assert "run `meta-ads sync` once" in answer.text


def test_of_equal_requests_at_once_one_is_started(world: World) -> None:
    answers: list[int] = []

    def ask() -> None:
        answers.append(world.ask("POST", "/connections/main/sync-entities").status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [202, 409, 409, 409]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/connections/nobodys/backfill", DATES, 404, "no connection 'nobodys'"),
        ("/connections/main/backfill", {**DATES, "accounts": ["9"]}, 422, "9 is not synced with"),
        ("/connections/main/backfill", {"start": "2026-11-10"}, 422, "end: Field required"),
        ("/connections/main/backfill", {**DATES, "end": "2026-11-01"}, 422, "is before start"),
        ("/connections/main/backfill", {**DATES, "end": "2199-01-01"}, 422, "has not begun"),
        ("/connections/main/backfill", {**DATES, "start": "2007-01-01"}, 422, "history's start"),
        ("/connections/main/sync", {"strat": "2026-11-10"}, 422, "strat: Extra inputs"),
    ],
)
def test_what_cannot_be_started_is_told(world: World, path, body, status, said) -> None:
    answer = world.ask("POST", path, body)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text


def test_a_viewer_reads_the_plan_and_starts_nothing(world: World) -> None:
    plan = world.ask("GET", "/connections/main/plan?start=2026-11-10&end=2026-11-12",
                     key=world.viewer)  # fmt: skip
    assert plan.status_code == 200, plan.text
    assert plan.json()["calls"] > 0
    assert [each["account_id"] for each in plan.json()["accounts"]] == ["1", "2"]
    for path in ("/connections/main/backfill", "/connections/main/sync", "/runs/x/cancel"):
        assert world.ask("POST", path, DATES, key=world.viewer).status_code == 403


def test_runs_of_others_are_neither_seen_nor_cancelled(world: World) -> None:
    for run_id, tags in {
        "ours": {"accounts": "1"}, "theirs": {"accounts": "9"}, "both": {"accounts": "1,9"},
        "all": {}, "asked": {"accounts": "1", "workspace": OTHER},
    }.items():  # fmt: skip
        dagster_records.add_run(world.database, run_id, **tags)
    seen = {run["run_id"]: run["account_ids"] for run in world.ask("GET", "/runs").json()}
    assert seen == {"ours": ["1"], "both": ["1"], "all": ["1", "2"]}
    assert world.ask("GET", "/runs/theirs").status_code == 404
    assert world.ask("POST", "/runs/theirs/cancel").status_code == 404
    assert world.ask("POST", "/runs/both/cancel").status_code == 403
    cancelled = world.ask("POST", "/runs/ours/cancel").json()
    assert (cancelled["status"], cancelled["is_over"]) == ("CANCELED", True)
    unfinished = {run["run_id"] for run in world.ask("GET", "/runs?state=unfinished").json()}
    assert unfinished == {"both", "all"}


def test_progress_counts_slices_and_names_what_failed(world: World) -> None:
    run_id = dagster_records.add_run(
        world.database, "run-2", accounts="1",
        **dagster_records.range_of(date(2026, 11, 10), date(2026, 11, 12)),
    )  # fmt: skip
    with world.database.connect() as connection:
        connection.cursor().executemany(
            "insert into control.slices (account_id, partition_date, asset, status, run_id,"
            " error_message) values (%s, %s, 'insights_daily', %s, %s, %s)",
            [
                ("1", date(2026, 11, 10), "done", run_id, None),
                ("1", date(2026, 11, 11), "failed", run_id, "the token is refused"),
                ("9", date(2026, 11, 11), "failed", run_id, "another's"),
            ],
        )
        connection.execute(
            "insert into dagster.event_logs (run_id, dagster_event_type, step_key)"
            " values (%s, 'STEP_START', 'raw__ads')",
            [run_id],
        )
    run = world.ask("GET", f"/runs/{run_id}").json()
    assert run["slices_by_status"] == {"done": 1, "failed": 1}
    assert (run["slices_done"], run["slices_expected"]) == (2, 24)
    assert [each["reason"] for each in run["failures"]] == ["the token is refused"]
    assert run["steps"] == [{"step": "raw__ads", "status": "running"}]


def test_without_dagster_the_answer_says_where_it_was_looked_for(world: World) -> None:
    nowhere = Settings(META_ADS_DAGSTER_URL="http://127.0.0.1:9")  # type: ignore[call-arg]
    with running_service(nowhere, world.database) as service:
        answer = service.request(
            "POST", "/workspaces/default/connections/main/sync",
            headers={"Authorization": f"Bearer {world.keys['default']}"},
        )  # fmt: skip
    assert answer.status_code == 503
    assert "http://127.0.0.1:9" in answer.json()["detail"]


def test_dead_letters_and_alerts_are_those_of_the_workspace(world: World) -> None:
    with world.database.connect() as connection:
        dead_letters.record(
            connection,
            [
                DeadLetter(account, "insights_daily", f"of {account}", '{"spend": "x"}')
                for account in ("1", "9", "unknown")
            ],
        )
    for subject in ("ad account act_1", "account act_9", "connection other/main",
                    "ad account 2: hours of insights_hourly", "app 77"):  # fmt: skip
        open_alert(world.database, Alert("k", subject, Severity.WARNING, "m", "do it"))
    letters = world.ask("GET", "/dead-letters?status=open").json()
    assert [each["reason"] for each in letters] == ["of 1"]
    assert letters[0]["document"] == '{"spend": "x"}'
    assert {each["subject"] for each in world.ask("GET", "/alerts?status=open").json()} == {
        "ad account act_1", "ad account 2: hours of insights_hourly",
    }  # fmt: skip
    assert {each["subject"] for each in world.ask("GET", "/alerts", of="other").json()} == {
        "account act_9", "connection other/main",
    }  # fmt: skip
