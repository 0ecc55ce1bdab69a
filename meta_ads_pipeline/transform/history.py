"""History under today's definitions: dates that a rebuild would change, and the rebuild.

A seed of conversions or goals, a model, a column, an ad set's goal: whoever edits one changes what
old facts would be. They are built again from what is landed, newest first, a calendar month at a
time; ``marts.fact_definitions`` says which are not yet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from meta_ads_pipeline.control.database import Database, has_relation
from meta_ads_pipeline.sql_files import SqlFolder
from meta_ads_pipeline.transform.dbt_cli import DbtCli
from meta_ads_pipeline.transform.relations import ensure_relations, table_selection
from meta_ads_pipeline.windows import DateWindow

sql = SqlFolder(__file__)

logger = logging.getLogger(__name__)


def window_arguments(window: DateWindow) -> Sequence[str]:
    """dbt's arguments for a window of account-local dates.

    The event-time flags rather than ``--vars``: changed vars would force a full parse.
    """
    return (
        *("--event-time-start", window.start.isoformat()),
        *("--event-time-end", window.half_open_end.isoformat()),
    )


def outdated_windows(database: Database, within: DateWindow | None = None) -> list[DateWindow]:
    """Dates whose facts stand under an earlier definition: a window per month, newest first.

    Account-days that are held out of the facts at present are left out: they keep the rows that
    they have. Empty before the first build.
    """
    with database.connect() as connection:
        if not has_relation(connection, "marts.fact_definitions"):
            return []
        rows = connection.execute(
            sql("outdated_windows"),
            {"start": within and within.start, "end": within and within.end},
        ).fetchall()
    return [DateWindow(row["first"], row["last"]) for row in rows]


def definition_of(database: Database) -> str:
    """The hash of the definition in force; empty before there are facts."""
    with database.connect() as connection:
        row = connection.execute(
            "select current_definition from marts.fact_definitions limit 1"
        ).fetchone()
    return "" if row is None else str(row["current_definition"])


def rebuild_windows(
    dbt: DbtCli,
    database: Database,
    windows: Sequence[DateWindow],
    on_built: Callable[[DateWindow], object] | None = None,
) -> None:
    """Build the marts of each window from what is landed; nothing is pulled.

    Each window is one dbt build under the lock of the marts: a sync in between waits for one at
    most. Raises dagster-dbt's error when dbt fails; the same call again builds the rest.
    """
    for window in windows:
        dates = window_arguments(window)
        with database.exclusive("marts"):
            ensure_relations(dbt, database, dates)
            selection = ("--select", table_selection())
            tests = ("--exclude-resource-type", "unit_test")
            with dbt.running(["build", *selection, *dates, *tests]) as build:
                build.wait()
        if on_built is not None:
            on_built(window)
