"""The dbt project as assets: views and seeds that change with the code, marts that follow the data.

One dbt invocation per run builds, tests and gates the marts of the run's dates.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster_dbt import build_dbt_asset_specs, dbt_assets

from meta_ads_pipeline.control.account_days import unfinished_dates
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.partitions import daily_partitions, materialize_only, single_run
from meta_ads_pipeline.resources import DatabaseResource
from meta_ads_pipeline.transform.dbt_cli import DbtCli
from meta_ads_pipeline.transform.history import window_arguments
from meta_ads_pipeline.transform.project import dbt_project
from meta_ads_pipeline.transform.relations import TABLES, VIEWS_AND_SEEDS, ensure_relations
from meta_ads_pipeline.transform.translator import MartsTranslator
from meta_ads_pipeline.windows import DateWindow, window_of_keys

_NO_UNIT_TESTS = ("--exclude-resource-type", "unit_test")  # they test the code, not the data


def facts_by_date(database: Database, window: DateWindow) -> dict[str, dict[str, int]]:
    """Per account-local date of the window: rows of ``marts.metric_facts``, and totals.

    Money is left out: the accounts' currencies differ.
    """
    with database.connect() as connection:
        rows = connection.execute(
            "select event_date, count(*) as rows, count(distinct account_id) as accounts,"
            " coalesce(sum(impressions), 0) as impressions, coalesce(sum(clicks), 0) as clicks"
            " from marts.metric_facts where event_date between %s and %s group by 1",
            [window.start, window.end],
        ).fetchall()
    return {
        row.pop("event_date").isoformat(): {name: int(value) for name, value in row.items()}
        for row in rows
    }


@contextmanager
def again_after_a_restart(database: Database) -> Iterator[None]:
    """Have Dagster repeat the step, once, when it failed under a restart of the database.

    dbt replaces windows: what it had built already, it builds again without a change.
    """
    started_at = database.started_at()
    try:
        yield
    except Exception as error:
        if database.started_at() == started_at:  # waits for a server that is away
            raise
        raise dg.RetryRequested(max_retries=1) from error


def _without_unfinished(
    context: dg.AssetExecutionContext, database: Database, events: Iterable[Any]
) -> Iterator[Any]:
    """dbt's events, with each model materialized only for the dates that lack no account.

    What is missing or held is read when the model has been built: the reconciliation comes first.
    """
    dates = window_of_keys(context.partition_keys).dates
    for event in events:
        red = unfinished_dates(database, dates) if isinstance(event, dg.Output) else {}
        if not red:
            yield event
            continue
        metadata = materialize_only(
            context,
            context.asset_key_for_output(event.output_name),
            {day.isoformat(): reason for day, reason in red.items()},
            dict.fromkeys(context.partition_keys, event.metadata),
        )
        yield dg.Output(event.value, event.output_name, metadata={**event.metadata, **metadata})


def build_dbt_assets() -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The assets of the dbt project. A function, because reading the manifest may parse first."""
    project = dbt_project()

    # Not executable by themselves: an unpartitioned asset among partitioned ones would split every
    # backfill of a range into several runs.
    views = build_dbt_asset_specs(
        manifest=project.manifest_path,
        project=project,
        dagster_dbt_translator=MartsTranslator(),
        select=VIEWS_AND_SEEDS,
    )

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
        context: dg.AssetExecutionContext, dbt: DbtCli, database: DatabaseResource
    ) -> Iterator[Any]:
        window = window_of_keys(context.partition_keys)
        dates = window_arguments(window)
        with (
            again_after_a_restart(database.database),
            database.database.exclusive("marts") as waited,
        ):
            if waited:
                context.log.info("waited for another run that was writing the marts")
            ensure_relations(dbt, database.database, dates)
            with dbt.running(["build", *dates, *_NO_UNIT_TESTS], context=context) as build:
                yield from _without_unfinished(context, database.database, build.stream())
        facts = dg.AssetKey(["marts", "metric_facts"])
        if facts in context.selected_asset_keys:
            by_date = facts_by_date(database.database, window)
            for key in context.partition_keys:
                totals = by_date.get(key, {})
                context.add_asset_metadata(
                    {"dagster/partition_row_count": totals.pop("rows", 0), **totals},
                    asset_key=facts,
                    partition_key=key,
                )

    return [*views, dbt_marts]
