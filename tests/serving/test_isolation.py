"""Every path, with the right key, with none, with another workspace's; and without any filter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import requests
from psycopg import sql
from starlette.routing import Match, Mount

from meta_ads_pipeline.control import api_keys, dead_letters
from meta_ads_pipeline.control.alerts import Alert, Severity, open_alert
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.dead_letters import DeadLetter
from meta_ads_pipeline.control.row_security import SERVICE_ROLE
from meta_ads_pipeline.serving.app import create_app
from meta_ads_pipeline.serving.stream import missed
from meta_ads_pipeline.settings import Settings
from tests.conftest import copy_of_template
from tests.serving import dagster_records
from tests.serving.conftest import Service, running_service
from tests.serving.small_marts import DEFAULT, FIRST, LAST, OTHER, connect_accounts, fill
from tests.serving.test_dashboard import Browser

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


class Nowhere:
    """A database that nobody asks."""

    url = "postgresql://nowhere.invalid/x"


def guarded_paths(method: str) -> list[str]:
    """The paths of the OpenAPI document that need a key."""
    document = create_app(Settings(), Nowhere()).openapi()  # type: ignore[arg-type]
    return [
        path
        for path, methods in document["paths"].items()
        if "{workspace_id}" in path and method in methods
    ]


STREAM = "/workspaces/{workspace_id}/stream"  # never ends: its own tests read it
PATHS = [path for path in guarded_paths("get") if path != STREAM]
WRITING_PATHS = guarded_paths("post")

PAGE_ROUTES = ("/", "/ads", "/days/{account}/{day}", "/changes", "/anomalies", "/syncs",
               "/runs/{run_id}", "/stream")  # fmt: skip
"""Of the dashboard, for a session; ``/stream`` is ``missed`` and its own tests."""
OPEN = {
    *(("GET", path) for path in ("/", "/health", "/health/live", "/health/ready", "/metrics")),
    *(("GET", path) for path in ("/openapi.json", "/webhooks/meta")),
    ("POST", "/webhooks/meta"),  # signed by Meta
    *(("GET", f"/dashboard{path}") for path in ("/sign-in", "/static/{name}")),
    ("POST", "/dashboard/sign-in"),
}
"""They show nothing of a workspace."""
FORMS = {
    ("POST", f"/dashboard{path}") for path in ("/sign-out", "/backfill", "/runs/{run_id}/cancel")
}
PAGES = (
    f"/?start={FIRST}&end={LAST}",
    f"/ads?start={FIRST}&end={LAST}&level=ad",
    f"/ads?start={FIRST}&end={LAST}&level=ad&format=csv",
    f"/ads?start={FIRST}&end={LAST}&level=ad&format=sparklines",
    f"/days/1/{FIRST}",
    f"/changes?since={FIRST}",
    f"/anomalies?start={FIRST}&end={LAST}",
    "/syncs",
    "/runs/run-1",
)
TOOLS: dict[str, dict[str, Any]] = {
    "query_metrics": {"measures": ["spend"], "group_by": ["ad"], **DATES},
    "explain_number": {"account_id": "1", "day": "2026-10-26", "measure": "spend"},
    "list_anomalies": DATES,
    "find_entities": {"search": "campaign"},
    "data_freshness": {},
}


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


@pytest.fixture
def without_filters(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The service's queries, from which the condition on the workspace is taken out."""
    run = psycopg.Connection.execute
    changed: list[str] = []

    def execute(session: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        text = query.as_string(session) if isinstance(query, sql.Composable) else query
        text = text.decode() if isinstance(text, bytes) else text
        wider, found = _FILTER.subn(r"(\g<0> or true)", text)
        if found and run(session, "select current_user as who").fetchone()["who"] == SERVICE_ROLE:
            changed.append(wider)
            query = wider.encode()
        return run(session, query, *arguments, **options)

    monkeypatch.setattr(psycopg.Connection, "execute", execute)
    return changed


_FILTER = re.compile(r"(\b\w+\.)?workspace_id = %(s|\(workspace\)s)")


@pytest.mark.parametrize("workspace", ["default", "other"])
@pytest.mark.parametrize("path", PATHS)
def test_without_the_applications_filter_row_security_alone_holds(
    world: Any, path: str, workspace: str, request: pytest.FixtureRequest
) -> None:
    with_filters = ask(world, path, world.keys[workspace], workspace)
    changed = request.getfixturevalue("without_filters")
    answer = ask(world, path, world.keys[workspace], workspace)
    assert changed or path.endswith("/runs")  # a function that looks at the setting itself
    assert (answer.status_code, answer.json()) == (with_filters.status_code, with_filters.json())


@pytest.mark.parametrize("path", PAGES)
def test_pages_without_the_applications_filter_are_the_same(
    world: Any, path: str, request: pytest.FixtureRequest
) -> None:
    people = []
    for key in world.keys.values():
        people.append(Browser(world.service.url))
        people[-1].sign_in(key)
    with_filters = [person.get(path).text for person in people]
    assert with_filters[0] != with_filters[1]
    assert request.getfixturevalue("without_filters") == []
    assert [person.get(path).text for person in people] == with_filters


@pytest.mark.parametrize(("tool", "arguments"), TOOLS.items())
def test_tools_without_the_applications_filter_say_the_same(
    world: Any, tool: str, arguments: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    def call(key: str) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": {"name": tool, "arguments": arguments}}  # fmt: skip
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json",
                   "Accept": "application/json, text/event-stream"}  # fmt: skip
        answer = world.service.post("/mcp", content=json.dumps(body).encode(), headers=headers)
        return answer.json()

    with_filters = {name: call(key) for name, key in world.keys.items()}
    assert with_filters["default"] != with_filters["other"]
    changed = request.getfixturevalue("without_filters")
    assert {name: call(key) for name, key in world.keys.items()} == with_filters
    assert changed


def test_events_without_the_applications_filter_are_the_same(
    world: Any, request: pytest.FixtureRequest
) -> None:
    with world.database.connect() as connection:
        connection.execute(
            "insert into control.stream_events (workspace_id, kind, data)"
            " select workspace_id, 'sync', to_jsonb(name) from control.workspaces"
        )
    assert request.getfixturevalue("without_filters") == []
    for workspace, name in ((DEFAULT, "default"), (OTHER, "other")):
        assert {event["data"] for event in missed(world.database, workspace, 0)} == {name}


def test_no_route_is_without_a_test_here() -> None:
    """A new route is named in one of these, or it is in the OpenAPI document and tried above."""
    app = create_app(Settings(), Nowhere())  # type: ignore[arg-type]
    tried = {("GET", path) for path in [*PATHS, STREAM]} | {("POST", p) for p in WRITING_PATHS}
    dashboard = next(route for route in routes_of(app) if isinstance(route, Mount))
    found = {
        (method, base + route.path)
        for base, router in (("", app), ("/dashboard", dashboard))
        for route in routes_of(router)
        if route is not dashboard
        for method in getattr(route, "methods", None) or {"*"}
        if method != "HEAD"
    }
    pages = {("GET", f"/dashboard{path}") for path in PAGE_ROUTES}
    assert found - tried == pages | OPEN | FORMS | {("*", "/mcp")}
    matched = set()
    for path in PAGES:
        scope = {"type": "http", "method": "GET", "path": path.split("?")[0], "headers": []}
        matched |= {each.path for each in dashboard.routes if each.matches(scope)[0] is Match.FULL}
    assert matched | {"/stream"} == set(PAGE_ROUTES)


def routes_of(router: Any) -> Iterator[Any]:
    """Those of routers within it, too."""
    for route in router.routes:
        within = getattr(route, "original_router", None)
        yield from [route] if within is None else routes_of(within)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_shown_without_a_session(world: Any, path: str) -> None:
    stranger = Browser(world.service.url)
    answer = stranger.get(path, allow_redirects=False)
    assert (answer.status_code, "sign-in" in answer.headers["location"]) == (303, True)


@pytest.mark.parametrize("path", ["/runs/run-1/cancel", "/backfill"])
def test_nothing_of_another_is_started_or_cancelled_by_a_form(world: Any, path: str) -> None:
    form = {"connection": "main", "account": "1", "start": str(FIRST), "end": str(FIRST)}
    person = Browser(world.service.url)
    assert person.post(path, form).status_code == 401
    person.sign_in(world.keys["other"])
    assert person.post(path, form).status_code == 403  # without the session's token
    answer = person.post(path, {**form, "form_token": person.form_token()})
    assert answer.status_code in (403, 404, 422), answer.text
    runs = requests.get(
        f"{world.service.url}/workspaces/default/runs/run-1",
        headers={"Authorization": f"Bearer {world.keys['default']}"}, timeout=10,
    ).json()  # fmt: skip
    assert runs["status"] not in ("CANCELING", "CANCELED")


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
