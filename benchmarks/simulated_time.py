"""Another present for the pipeline's code, its database and the simulator, all flowing alike.

Python modules of the pipeline see `SimulatedDatetime`, and so do Dagster's runs and events. In
Postgres a schema that is searched first has ``now()`` and ``clock_timestamp()`` of its own, so
statements, defaults, views and other processes (dbt, the HTTP service) are at the same instant.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import dagster._time
import psycopg
from psycopg import sql

from meta_ads_pipeline.control.database import Database
from meta_graph_simulator.http.control_client import ControlClient

_CLOCK = """
create schema if not exists simulated;
create table if not exists simulated.clock (behind interval not null);
truncate simulated.clock;
insert into simulated.clock values (interval '0');
create or replace function simulated.now() returns timestamptz stable language sql as
'select pg_catalog.now() - behind from simulated.clock';
create or replace function simulated.clock_timestamp() returns timestamptz volatile language sql as
'select pg_catalog.clock_timestamp() - behind from simulated.clock';
"""


class _Clock:
    """How far the simulated present is behind the real one."""

    behind = timedelta()


class _SimulatedType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


class SimulatedDatetime(datetime, metaclass=_SimulatedType):
    """``datetime`` with another present."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        """The simulated instant."""
        return (datetime.now(UTC) - _Clock.behind).astimezone(tz)


def simulate_time() -> None:
    """Have every module of the pipeline that is loaded ask ``SimulatedDatetime``."""
    for name, module in list(sys.modules.items()):
        if name.startswith("meta_ads_pipeline.") and getattr(module, "datetime", None) is datetime:
            module.datetime = SimulatedDatetime  # type: ignore[attr-defined]


def simulate_dagster() -> None:
    """Have Dagster ask for the same present, and log records, which its events are made of."""
    make = logging.getLogRecordFactory()

    def made(*arguments: Any, **more: Any) -> logging.LogRecord:
        record = make(*arguments, **more)
        record.created -= _Clock.behind.total_seconds()
        return record

    logging.setLogRecordFactory(made)
    dagster._time._mockable_get_current_datetime = lambda: SimulatedDatetime.now(UTC)
    dagster._time._mockable_get_current_timestamp = lambda: SimulatedDatetime.now(UTC).timestamp()


def simulate_database(url: str) -> None:
    """Give a new, empty database the clock; before anything is created in it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_CLOCK)
        name = sql.Identifier(connection.info.dbname)
        path = "set search_path = simulated, pg_catalog, public"
        connection.execute(sql.SQL("alter database {} " + path).format(name))


def go_to(instant: datetime, database: Database, control: ControlClient) -> None:
    """Jump to an instant (aware); from there time flows on."""
    with database.connect() as connection:
        _Clock.behind = datetime.now(UTC) - instant
        control.set_clock(instant)
        connection.execute("update simulated.clock set behind = %s", [_Clock.behind])
    simulate_time()


def real_time_again(database: Database) -> None:
    """Leave the database to programs of the present."""
    with database.connect() as connection:
        connection.execute("update simulated.clock set behind = interval '0'")


def simulated_now() -> datetime:
    """The simulated instant (UTC)."""
    return SimulatedDatetime.now(UTC)
