"""``meta-ads query``: read-only SQL on the marts."""

from __future__ import annotations

import json

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.control.timezones import choose_timezone


def run_query(
    database: Database, sql: str, *, limit: int, as_json: bool, timezone: str | None = None
) -> int:
    """Run ``sql`` in a read-only transaction and print at most ``limit`` rows.

    ``timezone`` (IANA, or ``account``) is that of the ``*_display`` marts for this query. Raises
    ``TimezoneError`` when it is not known, ``DatabaseError`` with Postgres's own words when the
    query is wrong or would write.
    """
    with database.connect() as connection:
        connection.read_only = True
        if timezone is not None:
            choose_timezone(connection, timezone)
        try:
            cursor = connection.execute(sql.encode())
            rows = cursor.fetchmany(limit + 1) if cursor.description else []
        except psycopg.Error as error:
            raise DatabaseError(str(error).strip()) from error
        names = [column.name for column in cursor.description or []]
    more, rows = len(rows) > limit, rows[:limit]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
        return 0
    table = Table(*names, header_style="bold")
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in names))
    console = Console(highlight=False)
    console.print(table)
    if more:
        console.print(f"Only the first {limit} rows; --limit shows more.")
    return 0
