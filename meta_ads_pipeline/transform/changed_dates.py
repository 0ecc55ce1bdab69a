"""Which of a run's dates have other inputs than when their marts were last built.

A refresh of the last 28 days finds most of them as they were; to compare their facts row by row is
most of what such a build costs. What a date's marts are made of and what the build left of them is
kept as two digests in ``control.built_dates``: a date is built unless both are still the same.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import yaml
from psycopg import sql as composed

from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.sql_files import SqlFolder
from meta_ads_pipeline.transform.history import outdated_windows
from meta_ads_pipeline.transform.project import DBT_PROJECT_DIR, project_digest
from meta_ads_pipeline.transform.relations import (
    landed_tables_without_dates,
    tables_with_dates,
    tables_without_dates,
)
from meta_ads_pipeline.windows import DateWindow

sql = SqlFolder(__file__)

Digests = Mapping[date, str]

_STATE = composed.SQL("{name} || ':' || count(*) || ':' || sum(xmin::text::bigint) as state")
"""Of a table's rows: equal ones are equal rows, whatever wrote them (``inputs_of_dates.sql``)."""


@dataclass(frozen=True)
class Inputs:
    """Digests of what the marts are made of: by account-local date, and of what has no date."""

    dates: Digests
    undated: str


def read_inputs(database: Database, window: DateWindow) -> Inputs:
    """The inputs of the window's marts as they are now.

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
                "grace_minutes": _grace_minutes(),
            },
        ).fetchall()
        undated = _state_of(connection, landed_tables_without_dates(connection))
    return Inputs({row["event_date"]: row["digest"] for row in rows}, undated)


def _tolerance_ages() -> list[int]:
    """Ages in days from which another tolerance is in force, as the seed has them."""
    with (DBT_PROJECT_DIR / "seeds/reconciliation_tolerances.csv").open(newline="") as file:
        bands = list(csv.DictReader(file))
    begins = {int(band["from_age_days"]) for band in bands}
    return sorted(begins | {int(band["to_age_days"]) + 1 for band in bands})


def _grace_minutes() -> int:
    """So long after its end an hour is judged, as the project says."""
    project = yaml.safe_load((DBT_PROJECT_DIR / "dbt_project.yml").read_text())
    return int(project["vars"]["anomaly_hour_grace_minutes"])


def changed_dates(database: Database, window: DateWindow, inputs: Inputs) -> list[date]:
    """The dates of the window that a build would, or may, change; oldest first.

    A date is left out when it was built from the same, the tables still hold what that build left,
    and its facts stand under the definition in force.
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
        if day in outdated or built.get(day) != (inputs.dates.get(day), outputs.get(day))
    ]


def is_undated_as_built(database: Database, window: DateWindow, inputs: Inputs) -> bool:
    """Whether what has no date is as the last build of each of the window's dates left it."""
    with database.connect() as connection:
        rows = connection.execute(
            "select distinct undated from control.built_dates where event_date between %s and %s",
            [window.start, window.end],
        ).fetchall()
        return [row["undated"] for row in rows] == [_undated(connection, inputs)]


def remember_built(database: Database, window: DateWindow, inputs: Inputs) -> None:
    """Note that the window's marts are built from ``inputs``, as read before the build."""
    with database.connect() as connection:
        outputs, undated = _output_digests(connection, window), _undated(connection, inputs)
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into control.built_dates (event_date, inputs, outputs, undated)"
                " values (%s, %s, %s, %s)"
                " on conflict (event_date) do update set inputs = excluded.inputs,"
                " outputs = excluded.outputs, undated = excluded.undated,"
                " built_at = clock_timestamp()",
                [(day, inputs.dates[day], outputs[day], undated) for day in window.dates],
            )


def _undated(connection: Connection, inputs: Inputs) -> str:
    return f"{inputs.undated} {_state_of(connection, tables_without_dates(connection))}"


def _state_of(connection: Connection, tables: Sequence[tuple[str, str]]) -> str:
    """A digest of all rows of the tables."""
    states = composed.SQL(" union all ").join(
        composed.SQL("select {state} from {table}").format(
            state=_STATE.format(name=composed.Literal(f"{schema}.{table}")),
            table=composed.Identifier(schema, table),
        )
        for schema, table in tables
    )
    row = connection.execute(
        composed.SQL(
            "select md5(string_agg(state, ',' order by state)) as digest from ({}) as states"
        ).format(states)
    ).fetchone()
    return "" if row is None else str(row["digest"])


def _output_digests(connection: Connection, window: DateWindow) -> Digests:
    """By date a digest of the rows of every table that has dates."""
    selects = composed.SQL(" union all ").join(
        composed.SQL(
            "select event_date, {state} from {table}"
            " where event_date between %(start)s and %(end)s group by event_date"
        ).format(
            state=_STATE.format(name=composed.Literal(f"{schema}.{table}")),
            table=composed.Identifier(schema, table),
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
