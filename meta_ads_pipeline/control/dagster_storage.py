"""Where Dagster keeps its records: the schema ``dagster`` of the pipeline's own database.

Every ``meta-ads`` command says which database that is in the environment. Dagster's programs alone
do not know: here they are told in a sentence, where an unset variable in ``dagster.yaml`` would be
a trace of its configuration's innards.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import click
import dagster as dg
from dagster._config.config_schema import UserConfigSchema
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage

URL_VARIABLE = "META_ADS_DAGSTER_STORAGE_URL"


class PlannedTogether(PostgresEventLogStorage):
    """Dagster's event log that writes the plans of a run at once.

    A run says of each asset and partition that it is planned: 15,000 events for a year. Dagster
    1.13 writes materializations together, and plans one by one (``store_event_batch`` of
    ``dagster_postgres``), each in three statements.
    """

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Write events that were reported together; other kinds as Dagster does."""
        planned = [event for event in events if _is_planned_materialization(event)]
        if planned:
            with self._connect() as connection:
                inserted = connection.execute(
                    self.prepare_insert_event_batch(planned).returning(SqlEventLogStorageTable.c.id)
                )
                ids = [int(row[0]) for row in inserted.fetchall()]
            # The row of an asset says which run planned it last.
            newest = {event.get_dagster_event().asset_key: at for at, event in enumerate(planned)}
            with self.index_transaction() as connection:
                for at in newest.values():
                    self._store_asset_event(connection, planned[at], ids[at])
        others = [event for event in events if not _is_planned_materialization(event)]
        if others:
            super().store_event_batch(others)


def _is_planned_materialization(event: dg.EventLogEntry) -> bool:
    return event.dagster_event_type is dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED


class PipelineStorage(DagsterPostgresStorage):
    """Dagster's Postgres storage at the address in ``META_ADS_DAGSTER_STORAGE_URL``."""

    def __init__(self, postgres_url: str, **options: Any) -> None:
        super().__init__(postgres_url, **options)
        self._event_log_storage.dispose()
        self._event_log_storage = PlannedTogether(postgres_url, should_autocreate_tables=False)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Nothing to configure in ``dagster.yaml``."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003 - Dagster's signature
    ) -> Self:
        """The storage. Without a URL ``click.UsageError``, which Dagster's programs print."""
        url = os.environ.get(URL_VARIABLE)
        if not url:
            raise click.UsageError(
                "Dagster does not know its database. Run `meta-ads up` (or `make dev`) for the UI "
                "and the daemon, other programs of Dagster as `meta-ads exec dagster ...`. A "
                f"deployment that starts them itself sets {URL_VARIABLE} to "
                "postgresql+psycopg2://user:password@host/database?options=-csearch_path%3Ddagster"
            )
        return cls(postgres_url=url, inst_data=inst_data)
