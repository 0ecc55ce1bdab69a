"""``meta-ads query``: read-only SQL on the marts."""

from __future__ import annotations

import json
from typing import Annotated

import psycopg
import typer
from psycopg.rows import tuple_row
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.control.timezones import choose_timezone

app = options.command_app()


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="A select, run read-only.")],
    as_json: options.AsJson = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows to print at most.")] = 100,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="TZ",
            help="IANA timezone of the *_display marts, or `account` for each account's own.",
        ),
    ] = None,
) -> int:
    """Run a read-only SQL query, for instance on the tables of the schema marts."""
    with running(needs_api=False) as runtime:
        return run_query(runtime.database, sql, limit=limit, as_json=as_json, timezone=timezone)


def run_query(
    database: Database, sql: str, *, limit: int, as_json: bool, timezone: str | None = None
) -> int:
    """Run ``sql`` in a read-only transaction and print at most ``limit`` rows.

    ``timezone`` (IANA, or ``account``) is that of the ``*_display`` marts for this query. Columns
    of one name are told apart by a number from the second on, in the table and in JSON. Raises
    ``TimezoneError`` when the timezone is not known, ``DatabaseError`` with Postgres's own words
    when the query is wrong or would write.
    """
    with database.connect() as connection:
        connection.read_only = True
        if timezone is not None:
            choose_timezone(connection, timezone)
        try:
            with connection.cursor(row_factory=tuple_row) as cursor:
                cursor.execute(sql.encode())
                rows = cursor.fetchmany(limit + 1) if cursor.description else []
                names = distinct_names([column.name for column in cursor.description or []])
        except psycopg.Error as error:
            raise DatabaseError(str(error).strip()) from error
    more, rows = len(rows) > limit, rows[:limit]
    if as_json:
        documents = [dict(zip(names, row, strict=True)) for row in rows]
        typer.echo(json.dumps(documents, indent=2, default=str))
        return 0
    table = Table(*names, header_style="bold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console = plain_console()
    console.print(table)
    if more:
        console.print(f"Only the first {limit} rows; --limit shows more.")
    return 0


def distinct_names(names: list[str]) -> list[str]:
    """The names, with ``_2``, ``_3``, ... after each that was there before."""
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 1
        while candidate in taken or (number > 1 and candidate in names):
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate)
        result.append(candidate)
    return result
