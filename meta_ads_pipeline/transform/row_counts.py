"""How many rows a built table has, for the pages of the catalog: per date where it has dates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg.errors
from psycopg import sql

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.windows import DateWindow

_MEASURES = ("impressions", "clicks")
"""Plotted beside the rows where a table has them. Money is left out: currencies differ."""


def columns_of(database: Database, schema: str, table: str) -> set[str]:
    """The names of a relation's columns; empty when there is none."""
    with database.connect() as connection:
        rows = connection.execute(
            "select attname from pg_attribute where attrelid = to_regclass(format('%%I.%%I',"
            " %s::text, %s::text)) and attnum > 0 and not attisdropped",
            [schema, table],
        ).fetchall()
    return {row["attname"] for row in rows}


def rows_by_date(
    database: Database, schema: str, table: str, window: DateWindow
) -> Mapping[str, Mapping[str, int]] | None:
    """Per date (ISO) of the window what there is to plot; None for a table without dates."""
    columns = columns_of(database, schema, table)
    if "event_date" not in columns:
        return None
    wanted: dict[str, sql.Composable] = {"dagster/partition_row_count": sql.SQL("count(*)")}
    if "account_id" in columns:
        wanted["accounts"] = sql.SQL("count(distinct account_id)")
    for name in _MEASURES:
        if name in columns:
            wanted[name] = sql.SQL("coalesce(sum({}), 0)").format(sql.Identifier(name))
    selected = sql.SQL(", ").join(
        sql.SQL("{}::bigint as {}").format(value, sql.Identifier(name))
        for name, value in wanted.items()
    )
    query = sql.SQL(
        "select event_date::text as date, {} from {} where event_date between %s and %s group by 1"
    ).format(selected, sql.Identifier(schema, table))
    with database.connect() as connection:
        found: list[dict[str, Any]] = connection.execute(
            query, [window.start, window.end]
        ).fetchall()
    by_date = {row.pop("date"): row for row in found}
    nothing = dict.fromkeys(wanted, 0)
    return {day.isoformat(): by_date.get(day.isoformat(), nothing) for day in window.dates}


def rows_per_partition(
    database: Database, schema: str, table: str, window: DateWindow
) -> Mapping[str, Mapping[str, int]]:
    """What each date (ISO) of the window says: its own rows, or all of a table without dates."""
    by_date = rows_by_date(database, schema, table, window)
    if by_date is not None:
        return by_date
    rows = row_count(database, schema, table)
    total = {} if rows is None else {"dagster/row_count": rows}
    return {day.isoformat(): total for day in window.dates}


def row_count(database: Database, schema: str, table: str) -> int | None:
    """All rows of a relation; None when there is none, or when counting takes over a second."""
    query = sql.SQL("select count(*) as rows from {}").format(sql.Identifier(schema, table))
    try:
        with database.connect() as connection:
            connection.execute("set local statement_timeout = '1s'")
            row = connection.execute(query).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.QueryCanceled):
        return None
    return None if row is None else int(row["rows"])
