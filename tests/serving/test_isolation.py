"""Every path, with the right key, with none, with another workspace's; and without any filter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg import sql

from meta_ads_pipeline.control import api_keys, dead_letters
from meta_ads_pipeline.control.alerts import Alert, Severity, open_alert
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.dead_letters import DeadLetter
from meta_ads_pipeline.semantic import statement, trust
from meta_ads_pipeline.serving import syncs, upkeep
from meta_ads_pipeline.serving.app import create_app
from meta_ads_pipeline.settings import Settings
from tests.conftest import copy_of_template
from tests.serving import dagster_records
from tests.serving.conftest import Service, running_service
from tests.serving.small_marts import FIRST, LAST, connect_accounts, fill

DATES = {"start": str(FIRST), "end": str(LAST)}
PARAMETERS: dict[str, dict[str, str]] = {
    "/workspaces/{workspace_id}/trust/explain": {"account": "1", "date": "2026-10-26"},
    "/workspaces/{workspace_id}/trust/restatements": {"since": str(FIRST)},
    "/workspaces/{workspace_id}/trust": {},
    "/workspaces/{workspace_id}": {},
    "/workspaces/{workspace_id}/entities": {},
    "/workspaces/{workspace_id}/entities/{external_entity_id}/history": {},
    "/workspaces/{workspace_id}/connections": {},
    "/workspaces/{workspace_id}/runs": {},
    "/workspaces/{workspace_id}/runs/{run_id}": {},
    "/workspaces/{workspace_id}/dead-letters": {},
    "/workspaces/{workspace_id}/alerts": {},
}
"""Of a request that has an answer; the others take ``DATES``."""


@pytest.fixture(scope="module")
def world(postgres_url: str, template_database: str) -> Iterator[Any]:
    """Two workspaces with a key each, and one service."""
    with copy_of_template(postgres_url, template_database) as database:
        fill(database)
        fill_control(database)
        keys = {
            name: api_keys.create_key(
                database, workspace=name, member="x", name="x", role="operator"
            )[0]
            for name in ("default", "other")
        }
        with running_service(Settings(), database) as service:
            yield SimpleNamespace(database=database, service=service, keys=keys)


def fill_control(database: Database) -> None:
    """A connection, a run, a dead letter and an alert for each workspace."""
    dagster_records.make_tables(database)
    with database.connect() as connection:
        connect_accounts(connection)
        letters = [DeadLetter(each, "ads", "no id", "{}") for each in ("1", "9")]
        dead_letters.record(connection, letters)
    for account in ("1", "9"):
        alert = Alert("kind", f"ad account act_{account}", Severity.INFO, "said", "do")
        open_alert(database, alert)
        dagster_records.add_run(database, f"run-{account}", accounts=account)


def guarded_paths(method: str) -> list[str]:
    """The paths of the OpenAPI document that need a key."""

    class Nowhere:
        url = "postgresql://nowhere.invalid/x"

    document = create_app(Settings(), Nowhere()).openapi()  # type: ignore[arg-type]
    return [
        path
        for path, methods in document["paths"].items()
        if "{workspace_id}" in path and method in methods
    ]


STREAM = "/workspaces/{workspace_id}/stream"  # never ends: its own tests read it
PATHS = [path for path in guarded_paths("get") if path != STREAM]
WRITING_PATHS = guarded_paths("post")


def filled(path: str, workspace: str) -> str:
    run = "run-9" if workspace == "other" else "run-1"
    return path.format(
        workspace_id=workspace, external_entity_id="120", connection="main", run_id=run
    )


def ask(world: Any, path: str, key: str | None, workspace: str = "default") -> Any:
    service: Service = world.service
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return service.get(filled(path, workspace), params=PARAMETERS.get(path, DATES), headers=headers)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_answers_its_own_key_and_tells_others_nothing(world, path):
    own = ask(world, path, world.keys["default"])
    assert own.status_code == 200, own.text
    assert own.json()
    for workspace in ("default", "nowhere"):
        foreign = ask(world, path, world.keys["other"], workspace)
        assert (foreign.status_code, foreign.json()["detail"]) == (
            403, "this key may not be used for that",
        )  # fmt: skip
        assert ask(world, path, None, workspace).status_code == 401


def test_nobody_watches_with_anothers_key(world):
    assert ask(world, STREAM, world.keys["other"]).status_code == 403
    assert ask(world, STREAM, None).status_code == 401


@pytest.mark.parametrize("path", WRITING_PATHS)
def test_nothing_is_written_with_anothers_key_or_none(world, path):
    for key, status in ((world.keys["other"], 403), (None, 401)):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = world.service.request("POST", filled(path, "default"), headers=headers)
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize("path", PATHS)
def test_without_the_applications_filter_row_security_alone_holds(world, path, monkeypatch):
    def unfiltered(filtered: Any, name: str, **names: str) -> bytes:
        query: bytes = filtered(name, **names)
        if name == "runs":  # a function that looks at the setting itself
            return query
        found = query.replace(b"= %(workspace)s", b"is distinct from %(workspace)s::uuid or true")
        assert found != query
        return found

    for name in (
        "reconciliation",
        "restatements",
        "served_value",
        "changes_of_day",
        "failed_checks_of_day",
        "anomalies",
        "freshness",
        "entities",
        "entity_history",
    ):
        assert unfiltered(trust.sql, name, measure="spend")
    for module in (trust, syncs, upkeep):
        monkeypatch.setattr(module, "sql", partial(unfiltered, module.sql))
    rows_of = statement._Builder._piece

    def piece_of_all(*arguments: Any) -> sql.Composed:
        text = rows_of(*arguments).as_string()
        assert "workspace_id = %(workspace)s" in text
        return sql.Composed([sql.SQL(text.replace("workspace_id = %(workspace)s", "true"))])

    monkeypatch.setattr(statement._Builder, "_piece", piece_of_all)
    for workspace, own in (("other", {"9"}), ("default", {"1", "2", "3"})):
        answer = ask(world, path, world.keys[workspace], workspace)
        if path.endswith("explain") and workspace == "other":
            assert answer.status_code == 404
            continue
        assert answer.status_code == 200, answer.text
        body = answer.json()
        rows = body if isinstance(body, list) else body.get("accounts", body.get("rows", []))
        assert {row["account_id"] for row in rows if "account_id" in row} <= own


def test_an_account_day_of_another_workspace_is_as_unknown_as_none(world):
    path = "/workspaces/{workspace_id}/trust/explain"
    service, headers = world.service, {"Authorization": f"Bearer {world.keys['other']}"}
    answers = [
        service.get(path.format(workspace_id="other"), headers=headers,
                    params={"account": account, "date": "2026-10-26"})
        for account in ("1", "777")
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text.replace("act_1 ", "act_777 ") == answers[1].text


def test_an_explanation_has_the_three_totals_and_what_changed(world):
    body = ask(world, "/workspaces/{workspace_id}/trust/explain", world.keys["default"]).json()
    assert (body["hourly_total"], body["ad_daily_total"], body["account_total"]) == ("5", "5", "5")
    assert (body["status"], body["is_settled"]) == ("reconciled", True)
    assert body["changes"][0]["old_value"] == "4"
    assert "they agree; settled: Meta no longer changes it" in body["sentence"]


def test_entities_are_searched_by_name_and_found_below_their_parent(world):
    headers = {"Authorization": f"Bearer {world.keys['default']}"}

    def names(**params: str) -> set[str]:
        answer = world.service.get("/workspaces/default/entities", params=params, headers=headers)
        return {row["external_entity_id"] for row in answer.json()}

    assert names(search="PAIGN 12") == {"120", "121"}
    assert names(parent="act_2") == {"220", "221"}
    assert names(level="ad") == set()
    assert names(search="%") == set()  # no pattern
