"""The dbt project's relations: views and seeds are schema, and what should exist does.

Views and seeds are built when the project changed, not per run. Which version of the project they
were built from is a comment on the schema ``staging``. What is missing although that comment says
otherwise (``dbt build --full-refresh -s one_model`` takes the views that read it along) is built
again, and indexes that a model declares are made.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from psycopg import sql

from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.transform.dbt_cli import DbtCli
from meta_ads_pipeline.transform.project import dbt_project, project_digest

logger = logging.getLogger(__name__)

VIEWS_AND_SEEDS = "config.materialized:view resource_type:seed"
"""dbt's selection of what holds no data of its own."""

TABLES = (
    "config.materialized:incremental config.materialized:table"
    " config.materialized:materialized_view resource_type:snapshot"
)
"""dbt's selection of the rest, an analyst's tables included. Not an exclusion of the above: that
would drop the tests that read both."""

_NO_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
_RELATION_KINDS = {"view": "v", "materialized_view": "m"}


def relations_to_build(database: Database) -> list[str]:
    """dbt's selection of what the database lacks; empty when all is there and of this project.

    Views and seeds of a changed project, with the tables that the views read; else what is missing.
    """
    if _claim(database) != _current_claim():
        logger.info("the dbt project changed: its views and seeds are to be built")
        return [f"+{part}" for part in VIEWS_AND_SEEDS.split()]
    missing = missing_relations(database, dbt_manifest())
    if missing:
        logger.warning("missing in the database, to be built: %s", ", ".join(missing))
    return missing


def finish_relations(database: Database, built: Sequence[str]) -> None:
    """After the build of what ``relations_to_build`` named: note it, and make missing indexes."""
    if built:
        claim_relations(database)
    make_missing_indexes(database, dbt_manifest())


def ensure_relations(dbt: DbtCli, database: Database, window: Sequence[str]) -> list[str]:
    """Build what the database lacks, and nothing else; ``window``: dbt's event-time arguments.

    Returns what dbt was asked to build. Raises dagster-dbt's error when dbt fails.
    """
    selection = relations_to_build(database)
    if selection:
        # One argument: dagster-dbt takes no more than one after --select.
        chosen = " ".join(selection)
        with dbt.running(["build", "--select", chosen, *window, *_NO_TESTS]) as build:
            build.wait()
    finish_relations(database, selection)
    return selection


def tests_without_tables(manifest: Mapping[str, Any]) -> list[str]:
    """Names of the data tests that read views and seeds alone: no run's data is in question."""
    holding = {node["unique_id"] for node in _tables(manifest)}
    return sorted(
        node["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and not holding & set(node["depends_on"]["nodes"])
    )


def claim_relations(database: Database) -> None:
    """Note in the database that its views and seeds are those of the project as it is now."""
    with database.connect() as connection:
        connection.execute(
            sql.SQL("comment on schema staging is {}").format(sql.Literal(_current_claim()))
        )


def _current_claim() -> str:
    return f"built from dbt project {project_digest()}"


def dbt_manifest() -> Mapping[str, Any]:
    """What dbt parsed of the project: its manifest."""
    path = dbt_project().manifest_path
    return _read_manifest(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _read_manifest(path: Path, _changed_at: int) -> Mapping[str, Any]:
    manifest: Mapping[str, Any] = json.loads(path.read_text())
    return manifest


def _claim(database: Database) -> str | None:
    with database.connect() as connection:
        row = connection.execute(
            "select obj_description(to_regnamespace('staging')) as claim"
        ).fetchone()
    return None if row is None else row["claim"]


def _nodes(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Models, seeds and snapshots that have a relation."""
    for node in manifest["nodes"].values():
        if node["resource_type"] in ("model", "seed", "snapshot") and (
            node["config"]["materialized"] != "ephemeral" and node["config"]["enabled"]
        ):
            yield node


def _tables(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Models and snapshots that hold the data of runs."""
    for node in _nodes(manifest):
        if node["resource_type"] != "seed" and node["config"]["materialized"] != "view":
            yield node


def table_selection() -> str:
    """Those of the criteria of ``TABLES`` that the project has nodes for.

    dbt warns about the others, on standard output, where only the answer of a command belongs.
    """
    present = {
        f"resource_type:{node['resource_type']}"
        if node["resource_type"] == "snapshot"
        else f"config.materialized:{node['config']['materialized']}"
        for node in _nodes(dbt_manifest())
    }
    return " ".join(each for each in TABLES.split() if each in present)


def missing_relations(database: Database, manifest: Mapping[str, Any]) -> list[str]:
    """Names of the nodes whose relation is not there, or is a view for a table or the reverse."""
    with database.connect() as connection:
        kinds = _relation_kinds(connection)
    return sorted(
        node["name"]
        for node in _nodes(manifest)
        if kinds.get(f"{node['schema']}.{node['alias']}")
        != _RELATION_KINDS.get(node["config"]["materialized"], "r")
    )


def tables_with_dates(connection: Connection) -> list[tuple[str, str]]:
    """Schema and name of the project's tables that are there and have a column ``event_date``."""
    return sorted(_project_tables() & _tables_there(connection, has_dates=True))


def tables_without_dates(connection: Connection) -> list[tuple[str, str]]:
    """Those of the project that are there and have none."""
    return sorted(_project_tables() & _tables_there(connection, has_dates=False))


def landed_tables_without_dates(connection: Connection) -> list[tuple[str, str]]:
    """Schema and name of the raw tables without dates: entities and their versions."""
    there = _tables_there(connection, has_dates=False)
    return sorted(each for each in there if each[0] == "raw")


def _project_tables() -> set[tuple[str, str]]:
    return {(node["schema"], node["alias"]) for node in _tables(dbt_manifest())}


def _tables_there(connection: Connection, *, has_dates: bool) -> set[tuple[str, str]]:
    rows = connection.execute(
        "select n.nspname as schema, c.relname as name"
        " from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid"
        " where c.relkind in ('r', 'p') and not c.relispartition and exists ("
        "   select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'event_date'"
        "   and not a.attisdropped) = %s",
        [has_dates],
    ).fetchall()
    return {(row["schema"], row["name"]) for row in rows}


def _relation_kinds(connection: Connection) -> dict[str, str]:
    """Postgres's kind of every table (r, also partitioned), view (v), materialized view (m)."""
    rows = connection.execute(
        "select n.nspname || '.' || c.relname as name, translate(c.relkind::text, 'p', 'r') as kind"
        " from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid"
        " where c.relkind in ('r', 'p', 'v', 'm')"
    ).fetchall()
    return {row["name"]: row["kind"] for row in rows}


def make_missing_indexes(database: Database, manifest: Mapping[str, Any]) -> list[str]:
    """Make the indexes that a model's config declares and its table lacks; returns their names.

    dbt makes them only with the table. By their columns: dbt names them anew each time.
    """
    with database.connect() as connection:
        rows = connection.execute(
            "select i.indrelid::regclass::text as name, i.indisunique as is_unique,"
            " array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality"
            "   as k (number, place) inner join pg_attribute as a"
            "   on a.attrelid = i.indrelid and a.attnum = k.number order by k.place) as columns"
            " from pg_index as i inner join pg_class as c on i.indrelid = c.oid"
            " where c.relkind in ('r', 'p', 'm') and i.indpred is null"
        ).fetchall()
        present = {(row["name"], tuple(row["columns"]), row["is_unique"]) for row in rows}
        kinds = _relation_kinds(connection)
        made = []
        for node in _nodes(manifest):
            table = f"{node['schema']}.{node['alias']}"
            if kinds.get(table, "v") == "v":
                continue  # its first build makes its indexes, too
            for index in node["config"].get("indexes") or []:
                columns, is_unique = tuple(index["columns"]), bool(index.get("unique"))
                if (table, columns, is_unique) in present or (table, columns, True) in present:
                    continue
                logger.info("making the index of %s on %s", table, ", ".join(columns))
                connection.execute(
                    sql.SQL("create {} index on {} ({})").format(
                        sql.SQL("unique" if is_unique else ""),
                        sql.Identifier(node["schema"], node["alias"]),
                        sql.SQL(", ").join(map(sql.Identifier, columns)),
                    )
                )
                made.append(f"{table} ({', '.join(columns)})")
    return made
