"""The dbt project as assets: views and seeds that change with the code, marts that follow the data.

One dbt invocation per run builds, tests and gates the marts of the run's dates.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.partitions import daily_partitions, single_run
from meta_ads_pipeline.resources import DatabaseResource
from meta_ads_pipeline.transform.project import dbt_project
from meta_ads_pipeline.transform.translator import MartsTranslator
from meta_ads_pipeline.transform.views import TABLES, VIEWS_AND_SEEDS, ensure_views
from meta_ads_pipeline.windows import DateWindow, window_of_keys

_NO_UNIT_TESTS = ("--exclude-resource-type", "unit_test")  # they test the code, not the data


def window_arguments(window: DateWindow) -> Sequence[str]:
    """dbt's arguments for a window of account-local dates.

    The event-time flags rather than ``--vars``: changed vars would force a full parse.
    """
    return (
        *("--event-time-start", window.start.isoformat()),
        *("--event-time-end", window.half_open_end.isoformat()),
    )


def row_counts_by_date(database: Database, window: DateWindow) -> dict[str, int]:
    """Rows of ``marts.metric_facts`` per account-local date of the window."""
    with database.connect() as connection:
        rows = connection.execute(
            "select event_date, count(*) as n from marts.metric_facts"
            " where event_date between %s and %s group by 1",
            [window.start, window.end],
        ).fetchall()
    return {row["event_date"].isoformat(): row["n"] for row in rows}


def build_dbt_assets() -> list[dg.AssetsDefinition]:
    """The assets of the dbt project. A function, because reading the manifest may parse first."""
    project = dbt_project()

    @dbt_assets(
        manifest=project.manifest_path,
        project=project,
        dagster_dbt_translator=MartsTranslator(),
        name="dbt_views",
        select=VIEWS_AND_SEEDS,
    )
    def dbt_views(
        context: dg.AssetExecutionContext, dbt: DbtCliResource, database: DatabaseResource
    ) -> Iterator[Any]:
        assert database.database  # opens it and tells dbt's profile where it is
        yield from dbt.cli(["build", *_NO_UNIT_TESTS], context=context).stream()

    @dbt_assets(
        manifest=project.manifest_path,
        project=project,
        dagster_dbt_translator=MartsTranslator(),
        name="dbt_marts",
        select=TABLES,
        partitions_def=daily_partitions,
        backfill_policy=single_run,
    )
    def dbt_marts(
        context: dg.AssetExecutionContext, dbt: DbtCliResource, database: DatabaseResource
    ) -> Iterator[Any]:
        window = window_of_keys(context.partition_keys)
        dates = window_arguments(window)
        with database.database.exclusive("marts") as waited:
            if waited:
                context.log.info("waited for another run that was writing the marts")
            ensure_views(dbt, database.database, dates)
            yield from dbt.cli(["build", *dates, *_NO_UNIT_TESTS], context=context).stream()
        facts = dg.AssetKey(["marts", "metric_facts"])
        if facts in context.selected_asset_keys:
            counts = row_counts_by_date(database.database, window)
            for key in context.partition_keys:
                context.add_asset_metadata(
                    {"dagster/partition_row_count": counts.get(key, 0)},
                    asset_key=facts,
                    partition_key=key,
                )

    return [dbt_views, dbt_marts]
