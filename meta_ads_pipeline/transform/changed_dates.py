"""Which of a run's dates have other inputs than when their marts were last built.

A refresh of the last 28 days finds most of them as they were; to compare their facts row by row is
most of what such a build costs. What a date's marts are made of and what the build left of them is
kept as two digests in ``control.built_dates``: a date is built unless both are still the same.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import date

from psycopg import sql as composed

from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.sql_files import SqlFolder
from meta_ads_pipeline.transform.history import outdated_windows
from meta_ads_pipeline.transform.project import DBT_PROJECT_DIR, project_digest
from meta_ads_pipeline.transform.relations import tables_with_dates
from meta_ads_pipeline.windows import DateWindow

sql = SqlFolder(__file__)

Digests = Mapping[date, str]


def input_digests(database: Database, window: DateWindow) -> Digests:
    """By account-local date a digest of what its marts are made of.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    with database.connect() as connection:
        rows = connection.execute(
            sql("inputs_of_dates"),
            {
                "start": window.start,
                "end": window.end,
                "project": project_digest(),
                "tolerance_ages": _tolerance_ages(),
            },
        ).fetchall()
    return {row["event_date"]: row["digest"] for row in rows}


def _tolerance_ages() -> list[int]:
    """Ages in days from which another tolerance is in force, as the seed has them."""
    with (DBT_PROJECT_DIR / "seeds/reconciliation_tolerances.csv").open(newline="") as file:
        bands = list(csv.DictReader(file))
    begins = {int(band["from_age_days"]) for band in bands}
    return sorted(begins | {int(band["to_age_days"]) + 1 for band in bands})


def changed_dates(database: Database, window: DateWindow, inputs: Digests) -> list[date]:
    """The dates of the window that a build would, or may, change; oldest first.

    ``inputs`` are the window's ``input_digests``. A date is left out when it was built from the
    same, the tables still hold what that build left, and its facts stand under the definition in
    force.
    """
    with database.connect() as connection:
        rows = connection.execute(
            "select event_date, inputs, outputs from control.built_dates"
            " where event_date between %s and %s",
            [window.start, window.end],
        ).fetchall()
        outputs = _output_digests(connection, window) if rows else {}
    built = {row["event_date"]: (row["inputs"], row["outputs"]) for row in rows}
    outdated = {day for each in outdated_windows(database, window) for day in each.dates}
    return [
        day
        for day in window.dates
        if day in outdated or built.get(day) != (inputs.get(day), outputs.get(day))
    ]


def remember_built(database: Database, window: DateWindow, inputs: Digests) -> None:
    """Note that the window's marts are built from ``inputs``, as read before the build."""
    with database.connect() as connection:
        outputs = _output_digests(connection, window)
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into control.built_dates (event_date, inputs, outputs) values (%s, %s, %s)"
                " on conflict (event_date) do update set inputs = excluded.inputs,"
                " outputs = excluded.outputs, built_at = clock_timestamp()",
                [(day, inputs[day], outputs[day]) for day in window.dates],
            )


def _output_digests(connection: Connection, window: DateWindow) -> Digests:
    """By date a digest of the rows of every table that has dates."""
    selects = composed.SQL(" union all ").join(
        composed.SQL(
            "select event_date, {name} || ':' || count(*) || ':' || sum(xmin::text::bigint)"
            " as state from {table} where event_date between %(start)s and %(end)s"
            " group by event_date"
        ).format(
            name=composed.Literal(f"{schema}.{table}"), table=composed.Identifier(schema, table)
        )
        for schema, table in tables_with_dates(connection)
    )
    rows = connection.execute(
        composed.SQL(
            "select days.day::date as event_date,"
            " md5(coalesce(string_agg(tables.state, ',' order by tables.state), '')) as digest"
            " from generate_series(%(start)s::timestamp, %(end)s::timestamp, interval '1 day')"
            " as days (day) left join ({}) as tables on days.day::date = tables.event_date"
            " group by days.day"
        ).format(selects),
        {"start": window.start, "end": window.end},
    ).fetchall()
    return {row["event_date"]: row["digest"] for row in rows}
