"""Two roles in Postgres: one that sees a single workspace's rows, one that reads the marts.

``meta_ads_service`` is what the HTTP service becomes for each query (``set local role``). Row-level
security lets it see the rows of the workspace named in the setting ``meta_ads.workspace_id``, and
none where the setting is empty: a filter that was forgotten shows nothing of others. It is granted
a relation only together with the relation's policy, so that a mart that dbt has just made anew
answers "permission denied" until ``secure`` has seen it.

Policies do not reach through views, which read with their owner's rights: the role reads those
through views of the schema ``serving`` that have the condition built in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql

from meta_ads_pipeline.control.database import Connection, Database, DatabaseError
from meta_ads_pipeline.errors import ConfigurationError
from meta_ads_pipeline.sql_files import SqlFolder

sql_file = SqlFolder(__file__)

SERVICE_ROLE = "meta_ads_service"
ANALYST_ROLE = "meta_ads_analyst"

_CONTROL_TABLES = (
    *("workspaces", "ad_accounts", "slices", "stream_events", "call_budgets"),
    *("workspace_dead_letters", "workspace_alerts", "workspace_connections"),
)
"""Beside the marts, what the service reads as its role: views through those of ``serving``."""

_CONTROL_FUNCTIONS = ("workspace_runs()", "run_steps(text)")
"""They look at the workspace's setting themselves."""

_QUERY_SECONDS = 30
_LOCK_SECONDS = 3

T = TypeVar("T")

_WORKSPACE = "(select nullif(current_setting('meta_ads.workspace_id', true), '')::uuid)"
_BY_WORKSPACE = sql.SQL("workspace_id = " + _WORKSPACE)
_BY_ACCOUNT = sql.SQL(
    "account_id in (select a.account_id from control.ad_accounts as a"
    " where a.workspace_id = " + _WORKSPACE + ")"
)

_NOT_SECURED_YET = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,  # a view that has one more now
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InvalidParameterValue,  # the role does not exist
    psycopg.errors.UndefinedObject,
)


class RoleNotFoundError(ConfigurationError):
    """A role of Postgres was named that does not exist."""


class MartsMissingError(DatabaseError):
    """The marts that a query reads are not built yet."""


def in_workspace(database: Database, workspace_id: str, work: Callable[[Connection], T]) -> T:
    """Do ``work`` in one read-only transaction that sees this workspace's rows only.

    Where a mart is new, its policy is made first, and ``work`` begins again. A query may take 30
    seconds. Raises what ``work`` raises, ``MartsMissingError`` when what it reads is not built, and
    ``DatabaseError`` where Postgres refuses the role.
    """

    def bound(connection: Connection) -> T:
        connection.execute(
            "select set_config('meta_ads.workspace_id', %s, true),"
            " set_config('statement_timeout', %s, true),"
            " set_config('role', %s, true), set_config('transaction_read_only', 'on', true)",
            [workspace_id, f"{_QUERY_SECONDS}s", SERVICE_ROLE],
        )
        return work(connection)

    try:
        return database.run(bound)
    except _NOT_SECURED_YET:
        secure(database)
    try:
        return database.run(bound)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise MartsMissingError("the marts are not built yet: run `meta-ads sync`") from error


def rows_in_workspace(
    database: Database, workspace_id: str, statement: bytes, **parameters: object
) -> list[dict[str, Any]]:
    """The statement's rows, as ``in_workspace`` sees them; ``%(workspace)s`` is the workspace."""
    asked = {"workspace": workspace_id, **parameters}
    return in_workspace(
        database, workspace_id, lambda session: session.execute(statement, asked).fetchall()
    )


def secure(database: Database) -> list[str]:
    """Bind every relation that the service reads to the workspace; names those that were not.

    Does nothing where all is in place. Waits at most three seconds for a table that a build holds.
    Raises ``DatabaseError`` when this user may not create the role.
    """
    with database.connect() as connection:
        ensure_role(connection, SERVICE_ROLE)
        connection.execute("create schema if not exists serving")
        connection.execute("create schema if not exists marts")
        for schema in ("marts", "serving", "control"):
            connection.execute(f"grant usage on schema {schema} to {SERVICE_ROLE}")
        for function in _CONTROL_FUNCTIONS:
            connection.execute(f"grant execute on function control.{function} to {SERVICE_ROLE}")
        relations = connection.execute(
            sql_file("relations_to_secure"),
            {"role": SERVICE_ROLE, "control": list(_CONTROL_TABLES)},
        ).fetchall()
    done = []
    for each in relations:
        relation = sql.Identifier(each["schema"], each["name"])
        condition = _BY_WORKSPACE if each["has_workspace"] else _BY_ACCOUNT
        statements: tuple[LiteralString, ...]
        if each["is_table"] and not (each["has_policy"] and each["is_granted"]):
            statements = _TABLE_STATEMENTS
        elif not each["is_table"] and not each["has_view"]:
            statements = _VIEW_STATEMENTS
        else:
            continue
        # One transaction each: a build that holds one table keeps no other from being secured.
        with database.connect() as connection:
            connection.execute(f"set local lock_timeout = '{_LOCK_SECONDS}s'")
            for statement in statements:
                connection.execute(
                    sql.SQL(statement).format(
                        relation=relation,
                        view=sql.Identifier("serving", each["name"]),
                        role=sql.Identifier(SERVICE_ROLE),
                        condition=condition,
                    )
                )
        done.append(f"{each['schema']}.{each['name']}")
    return done


# The first policy leaves everybody else as they were; the second narrows it for the service.
_TABLE_STATEMENTS = (
    "alter table {relation} enable row level security",
    "drop policy if exists everybody on {relation}",
    "drop policy if exists one_workspace on {relation}",
    "create policy everybody on {relation} using (true)",
    "create policy one_workspace on {relation} as restrictive for all to {role}"
    " using ({condition}) with check (false)",
    "grant select on {relation} to {role}",
)

_VIEW_STATEMENTS = (
    "drop view if exists {view}",
    "create view {view} with (security_barrier) as select * from {relation} where {condition}",
    "grant select on {view} to {role}",
)


def grant_analyst(database: Database, role: str) -> None:
    """Let a login role read every mart, also those that dbt makes later, and nothing else.

    Raises ``RoleNotFoundError``, or ``DatabaseError`` when this user may not grant.
    """
    with database.connect() as connection:
        if connection.execute("select from pg_roles where rolname = %s", [role]).fetchone() is None:
            raise RoleNotFoundError(
                f"there is no role {role!r} in this Postgres server: make it first, "
                f'for instance `create role "{role}" login password ...`'
            )
        ensure_role(connection, ANALYST_ROLE)
        connection.execute("create schema if not exists marts")
        try:
            for statement in _ANALYST_STATEMENTS:
                connection.execute(
                    sql.SQL(statement).format(
                        analyst=sql.Identifier(ANALYST_ROLE), role=sql.Identifier(role)
                    )
                )
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseError(
                f"{database.safe_url} may not grant: {str(error).strip()}. Connect as the owner of "
                "the marts, who is a member with admin option of meta_ads_analyst"
            ) from error


_ANALYST_STATEMENTS = (
    "grant usage on schema marts to {analyst}",
    "grant select on all tables in schema marts to {analyst}",
    "alter default privileges in schema marts grant select on tables to {analyst}",
    "grant {analyst} to {role}",
)


def ensure_role(connection: Connection, role: str) -> None:
    """Make a role that nobody logs in as, and have this user be able to become it."""
    try:
        connection.execute(
            f"do $$ begin create role {role} nologin; exception"
            " when duplicate_object or unique_violation then null; end $$"
        )
        connection.execute(
            f"do $$ begin if not pg_has_role(current_user, '{role}', 'member') then"
            f" execute format('grant {role} to %I', current_user); end if; end $$"
        )
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"the role {role} is missing, and this user may not make it. As a superuser: "
            f"create role {role} nologin; grant {role} to the user of META_ADS_DATABASE_URL"
        ) from error
