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
import sqlalchemy as sa
from dagster._config.config_schema import UserConfigSchema
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    SqlEventLogStorageTable,
)
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from sqlalchemy.dialects.postgresql import ARRAY

URL_VARIABLE = "META_ADS_DAGSTER_STORAGE_URL"


class BatchedEventLog(PostgresEventLogStorage):
    """Dagster's event log that writes what a run plans and makes in few statements.

    A run says of each asset and partition that it is planned, 15,000 events for a year, and of each
    asset check. Dagster 1.13 writes materializations together, by a statement that has a parameter
    for each value, and plans one by one (``store_event_batch`` of ``dagster_postgres``).

    A check is planned once. Dagster plans even one without partitions for each partition of the
    run (``DagsterRun.get_resolved_partitions_subset_for_events``), 30,000 rows for a year, and its
    result, which has none, fills none of them in. No check of this project has partitions.
    """

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Write events that were reported together."""
        planned, checks, others = [], [], []
        for event in events:
            kind = event.dagster_event_type
            if kind is dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
                planned.append(event)
            elif kind is dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
                checks.append(event)
            else:
                others.append(event)
        if planned:
            ids = self._insert(planned)
            # The row of an asset says which run planned it last.
            newest = {event.get_dagster_event().asset_key: at for at, event in enumerate(planned)}
            with self.index_transaction() as connection:
                for at in newest.values():
                    self._store_asset_event(connection, planned[at], ids[at])
        if checks:
            self._plan_checks(checks, self._insert(checks))
        if others:
            super().store_event_batch(others)

    def prepare_insert_event_batch(self, events: Sequence[dg.EventLogEntry]) -> Any:
        """The statement that inserts the events in their order, a parameter for each column."""
        rows = [self._event_to_row(event) for event in events]
        columns = [SqlEventLogStorageTable.c[name] for name in rows[0]]
        values = [
            sa.literal([row[column.name] for row in rows], ARRAY(column.type)) for column in columns
        ]
        names = (column.name for column in columns)
        given = sa.func.unnest(*values).table_valued(*names).render_derived()
        return SqlEventLogStorageTable.insert().from_select(columns, sa.select(given))

    def _insert(self, events: Sequence[dg.EventLogEntry]) -> list[int]:
        statement = self.prepare_insert_event_batch(events).returning(SqlEventLogStorageTable.c.id)
        with self._connect() as connection:
            return [int(row[0]) for row in connection.execute(statement)]

    def _store_asset_check_evaluation_planned(
        self, event: dg.EventLogEntry, event_id: int | None
    ) -> None:
        self._plan_checks([event], [event_id])

    def _plan_checks(
        self, events: Sequence[dg.EventLogEntry], event_ids: Sequence[int | None]
    ) -> None:
        rows = []
        for event, event_id in zip(events, event_ids, strict=True):
            check = event.get_dagster_event().asset_check_planned_data
            stored = self._event_to_row(event)
            rows.append(
                {
                    "asset_key": check.asset_key.to_string(),
                    "check_name": check.check_name,
                    "run_id": stored["run_id"],
                    "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
                    "evaluation_event": stored["event"],
                    "evaluation_event_timestamp": stored["timestamp"],
                    "evaluation_event_storage_id": event_id,
                }
            )
        with self.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.insert(), rows)


class PipelineStorage(DagsterPostgresStorage):
    """Dagster's Postgres storage at the address in ``META_ADS_DAGSTER_STORAGE_URL``."""

    def __init__(self, postgres_url: str, **options: Any) -> None:
        super().__init__(postgres_url, **options)
        self._event_log_storage.dispose()
        self._event_log_storage = BatchedEventLog(postgres_url, should_autocreate_tables=False)

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
