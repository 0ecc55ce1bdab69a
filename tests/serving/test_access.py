"""Keys, roles, and what a query sees: with the right key, another's, none, and without filters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from meta_ads_pipeline.control import api_keys
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.row_security import (
    SERVICE_ROLE,
    MartsMissingError,
    RoleNotFoundError,
    grant_analyst,
    in_workspace,
    secure,
)
from meta_ads_pipeline.serving.rate_limits import RateLimiter
from tests.serving.conftest import Service

OTHER = "00000000-0000-0000-0000-000000000002"
DEFAULT = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def two_workspaces(database: Database) -> Database:
    """An account, facts, a table and a view of the marts, in each of two workspaces."""
    with database.connect() as connection:
        connection.execute(
            "insert into control.workspaces (workspace_id, name) values (%s, 'other')", [OTHER]
        )
        connection.execute("select control.ensure_month_partitions("
                           "'marts.metric_facts', '2026-11-01', '2026-11-01')")  # fmt: skip
        for account, workspace in (("1", DEFAULT), ("2", OTHER)):
            connection.execute(
                "insert into control.ad_accounts (account_id, workspace_id, name, currency,"
                " timezone) values (%s, %s, 'account ' || %s, 'EUR', 'UTC')",
                [account, workspace, account],
            )
            connection.execute(
                "insert into marts.metric_facts (natural_key, workspace_id, provider, account_id,"
                " level, external_entity_id, entity_id, grain, event_at, event_date, event_hour,"
                " timezone, currency, spend, is_settled, source, pulled_at)"
                " values (%s || '-1', %s, 'meta', %s, 'ad', %s, gen_random_uuid(), 'hour',"
                " '2026-11-01', '2026-11-01', 0, 'UTC', 'EUR', 5, true, 'insights', now())",
                [account, workspace, account, account],
            )
        connection.execute(
            "create table marts.entity_history as select account_id from control.ad_accounts"
        )
        connection.execute(
            "create view marts.freshness as select workspace_id, account_id"
            " from control.ad_accounts"
        )
    return database


def seen(database: Database, relation: str, workspace: str) -> set[str]:
    """Accounts that an unfiltered query of the service's role gets."""

    def select(connection: Connection) -> set[str]:
        query = sql.SQL("select distinct account_id from {}").format(
            sql.Identifier(*relation.split("."))
        )
        return {row["account_id"] for row in connection.execute(query)}

    return in_workspace(database, workspace, select)


RELATIONS = ("marts.metric_facts", "marts.entity_history", "serving.freshness",
             "control.ad_accounts")  # fmt: skip


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_query_without_any_filter_sees_its_own_workspace_alone(two_workspaces, relation):
    assert seen(two_workspaces, relation, DEFAULT) == {"1"}
    assert seen(two_workspaces, relation, OTHER) == {"2"}
    assert seen(two_workspaces, relation, "") == set()


def test_the_owner_of_the_marts_sees_and_writes_as_before(two_workspaces):
    secure(two_workspaces)
    with two_workspaces.connect() as connection:
        (row,) = connection.execute("select count(*) as n from marts.metric_facts").fetchall()
        assert row["n"] == 2
        assert connection.execute("delete from marts.metric_facts").rowcount == 2


@pytest.mark.parametrize("relation", ["control.api_keys", "control.connections", "marts.freshness"])
def test_the_services_role_reads_nothing_else(two_workspaces, relation):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        in_workspace(
            two_workspaces, DEFAULT, lambda session: session.execute(f"select * from {relation}")
        )


def test_the_services_role_writes_nothing(two_workspaces):
    seen(two_workspaces, "marts.metric_facts", DEFAULT)
    with two_workspaces.connect() as connection:
        connection.execute(f"set local role {SERVICE_ROLE}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from marts.metric_facts")


def test_a_mart_that_dbt_made_anew_is_bound_before_it_is_read(two_workspaces):
    assert secure(two_workspaces)
    assert secure(two_workspaces) == []
    with two_workspaces.connect() as connection:
        connection.execute("drop table marts.entity_history")
        connection.execute("create table marts.entity_history as"
                           " select account_id from control.ad_accounts")  # fmt: skip
        connection.execute("drop view marts.freshness cascade")
        connection.execute("create view marts.freshness as"
                           " select account_id, 1 as one from control.ad_accounts")  # fmt: skip
    assert seen(two_workspaces, "marts.entity_history", DEFAULT) == {"1"}
    assert seen(two_workspaces, "serving.freshness", OTHER) == {"2"}
    with pytest.raises(MartsMissingError, match="meta-ads sync"):
        seen(two_workspaces, "marts.account_daily", DEFAULT)


@pytest.fixture
def new_key(two_workspaces: Database) -> Callable[..., str]:
    def make(workspace: str = "default", **options) -> str:
        return api_keys.create_key(
            two_workspaces, workspace=workspace, member="Anna", name="test", **options
        )[0]

    return make


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_opens_its_workspace_by_id_and_by_name(service: Service, new_key):
    key = new_key()
    for path in ("/workspaces/default", f"/workspaces/{DEFAULT}", "/v1/workspaces/default"):
        answer = service.get(path, headers=bearer(key))
        assert answer.status_code == 200, answer.text
        assert [each["account_id"] for each in answer.json()["accounts"]] == ["1"]
    assert answer.json()["scopes"] == ["read"]


def test_refusals_do_not_tell_whether_the_workspace_exists(service: Service, new_key):
    key = new_key()
    refused = [
        service.get(f"/workspaces/{name}", headers=bearer(key))
        for name in (OTHER, "other", "nowhere", "00000000-0000-0000-0000-00000000000f", "%00")
    ]
    assert {(each.status_code, each.text) for each in refused} == {(403, refused[0].text)}
    unknown = [
        service.get(f"/workspaces/{name}", headers=headers)
        for name in ("default", "other", "nowhere")
        for headers in ({}, bearer("mak_x"), bearer(key + "x"), {"Authorization": "Basic eDp5"})
    ]
    assert {(each.status_code, each.text) for each in unknown} == {(401, unknown[0].text)}
    assert unknown[0].headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_and_an_expired_key_are_refused_at_once(service, new_key, two_workspaces):
    key, short = new_key(), new_key(lifetime=timedelta(microseconds=1))
    assert service.get("/workspaces/default", headers=bearer(short)).status_code == 401
    assert service.get("/workspaces/default", headers=bearer(key)).status_code == 200
    (used,) = [k for k in api_keys.list_keys(two_workspaces) if key.startswith(k.prefix)]
    assert used.last_used_at is not None
    api_keys.revoke_key(two_workspaces, used.prefix)
    assert service.get("/workspaces/default", headers=bearer(key)).status_code == 401


def test_a_key_without_the_scope_is_refused(service: Service, new_key):
    ingest_only = new_key(role="operator", scopes=["ingest"])
    assert service.get("/workspaces/default", headers=bearer(ingest_only)).status_code == 403
    with pytest.raises(api_keys.ApiKeyError, match="has no scope 'sync'"):
        new_key(role="viewer", scopes=["sync"])


def test_a_member_who_becomes_a_viewer_takes_its_keys_along(new_key, two_workspaces):
    operators = new_key(role="operator")
    new_key(role="viewer")
    key = api_keys.usable_key(two_workspaces, operators)
    assert key is not None
    assert key.allowed == {"read"}


def test_too_many_requests_are_told_when_to_come_again(make_service, new_key):
    service, key = make_service(META_ADS_REQUESTS_PER_MINUTE="4"), new_key()
    answers = [service.get("/workspaces/default", headers=bearer(key)) for _ in range(4)]
    assert [each.status_code for each in answers[:2]] == [200, 200]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_a_bucket_fills_again_and_callers_do_not_share_one():
    now = [0.0]
    limiter = RateLimiter(per_minute=60, burst=2, clock=lambda: now[0])
    assert [limiter.wait("a") for _ in range(3)] == [0, 0, 1]
    assert limiter.wait("b") == 0
    now[0] = 1.0
    assert [limiter.wait("a") for _ in range(2)] == [0, 1]


def test_every_answer_carries_the_security_headers(service: Service):
    for path in ("/health/live", "/workspaces/default", "/nowhere", "/openapi.json"):
        headers = service.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert "server" not in headers or "uvicorn" in headers["server"]


def test_a_body_beyond_the_limit_is_refused_whether_or_not_announced(service: Service):
    assert service.post("/health/live", content=b"x" * 1_100_000).status_code == 413
    assert service.post("/health/live", content=b"x").status_code == 405


def test_an_analyst_reads_the_marts_and_nothing_else(two_workspaces, postgres_url):
    role = "analyst_of_the_test"
    with pytest.raises(RoleNotFoundError, match="create role"):
        grant_analyst(two_workspaces, "nobody_of_this_name")
    with two_workspaces.connect() as connection:
        connection.execute(f"create role {role} login")
    try:
        grant_analyst(two_workspaces, role)
        grant_analyst(two_workspaces, role)
        with two_workspaces.connect() as connection:
            connection.execute("create table marts.made_later as select 1 as one")
        with two_workspaces.connect() as connection:
            connection.execute(f"set role {role}")
            for name in ("metric_facts", "freshness", "entity_history", "made_later"):
                assert connection.execute(f"select * from marts.{name}").fetchone()
        refused = (
            "select * from raw.ads", "select * from control.api_keys",
            "delete from marts.metric_facts", "create table marts.mine (x int)",
        )  # fmt: skip
        for query in refused:
            with two_workspaces.connect() as connection:
                connection.execute(f"set role {role}")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(query)
    finally:
        with two_workspaces.connect() as connection:
            connection.execute(f"drop role {role}")
