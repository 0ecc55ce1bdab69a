"""Where Dagster keeps its records: the schema ``dagster`` of the pipeline's own database.

Every ``meta-ads`` command says which database that is in the environment. Dagster's programs alone
do not know: here they are told in a sentence, where an unset variable in ``dagster.yaml`` would be
a trace of its configuration's innards.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

import click
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

URL_VARIABLE = "META_ADS_DAGSTER_STORAGE_URL"


class PipelineStorage(DagsterPostgresStorage):
    """Dagster's Postgres storage at the address in ``META_ADS_DAGSTER_STORAGE_URL``."""

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
