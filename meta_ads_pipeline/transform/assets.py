"""The dbt project as assets: views and seeds that change with the code, marts that follow the data.

One dbt invocation per run builds, tests and gates the marts of the run's dates.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import dagster as dg

from meta_ads_pipeline.control.account_days import unfinished_dates
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.partitions import (
    add_partition_metadata,
    daily_partitions,
    materialize_only,
    single_run,
)
from meta_ads_pipeline.raw.assets import fail_for_what_was_not_pulled, pulls_anything
from meta_ads_pipeline.resources import DatabaseResource
from meta_ads_pipeline.transform.changed_dates import (
    changed_dates,
    is_undated_as_built,
    read_inputs,
    remember_built,
)
from meta_ads_pipeline.transform.check_names import readable_manifest
from meta_ads_pipeline.transform.dbt_cli import DbtCli
from meta_ads_pipeline.transform.history import window_arguments
from meta_ads_pipeline.transform.project import dbt_project
from meta_ads_pipeline.transform.relations import (
    VIEWS_AND_SEEDS,
    dbt_manifest,
    finish_relations,
    relations_to_build,
    table_selection,
    tests_without_tables,
)
from meta_ads_pipeline.transform.row_counts import row_count, rows_per_partition
from meta_ads_pipeline.transform.source_columns import source_key
from meta_ads_pipeline.transform.translator import MartsTranslator
from meta_ads_pipeline.transform.unchanged import as_they_are, every_check_passed
from meta_ads_pipeline.transform.without_dbt import build_dbt_asset_specs, dbt_assets
from meta_ads_pipeline.windows import DateWindow, window_of_keys

logger = logging.getLogger(__name__)

RECONCILIATION = dg.AssetKey(["marts", "reconciliation"])
_NO_UNIT_TESTS = ("--exclude-resource-type", "unit_test")  # they test the code, not the data


def _in_the_same_build(lacking: Sequence[str]) -> list[str]:
    """dbt's arguments to build these beside the run's own selection, in one go."""
    tests = tests_without_tables(dbt_manifest())
    return ["--select", " ".join(lacking), *(["--exclude", " ".join(tests)] if tests else [])]


def _changed_window(
    context: dg.AssetExecutionContext, window: DateWindow, changed: Sequence[date]
) -> DateWindow:
    """From the first to the last changed date; where none is, the last: entities have no date."""
    narrowed = (
        DateWindow(changed[0], changed[-1]) if changed else DateWindow(window.end, window.end)
    )
    if narrowed != window:
        context.log.info(
            f"{len(changed)} of {len(window.dates)} dates have changed since they were built: "
            f"building {narrowed.start} to {narrowed.end}"
        )
    return narrowed


def _as_reported(
    events: Iterable[Any],
    context: dg.AssetExecutionContext,
    database: Database,
    window: DateWindow,
) -> Iterator[Any]:
    """dbt's events; each built model with its rows, materialized for dates that lack no account.

    What is missing or held is read once, and again when the reconciliation has judged the dates.
    """
    red: Mapping[date, str] | None = None
    for event in events:
        if not isinstance(event, dg.Output):
            yield event
            continue
        if event.output_name not in context.op_execution_context.selected_output_names:
            continue  # a view or a seed that the database lacked
        key = context.asset_key_for_output(event.output_name)
        schema, table = key.path
        rows = rows_per_partition(database, schema, table, window)
        if red is None or key == RECONCILIATION:
            red = unfinished_dates(database, window.dates)
        if not red:
            add_partition_metadata(context, key, rows)
            yield event
            continue
        metadata = materialize_only(
            context,
            key,
            {each.isoformat(): reason for each, reason in red.items()},
            {day: {**event.metadata, **values} for day, values in rows.items()},
        )
        yield dg.Output(event.value, event.output_name, metadata={**event.metadata, **metadata})


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


def source_specs(manifest: Mapping[str, Any]) -> list[dg.AssetSpec]:
    """The sources that are no assets of their own: what pulls write beside the landed tables."""
    return [
        dg.AssetSpec(
            source_key(source),
            description=source["description"],
            group_name="control",
            kinds={"python", "postgres"},
            metadata={"dagster/table_name": f"{source['schema']}.{source['name']}"},
        )
        for source in manifest["sources"].values()
        if "dagster" not in source["config"].get("meta", {})
    ]


def report_views(
    context: dg.AssetExecutionContext, database: Database, specs: Sequence[dg.AssetSpec]
) -> None:
    """Have the catalog say that these are there: views, seeds and sources are no part of a step."""
    for spec in specs:
        schema, table = spec.metadata["dagster/table_name"].split(".")
        # A view's rows may take long to count, and are another number the next minute.
        rows = row_count(database, schema, table) if schema != "staging" else None
        context.log_event(
            dg.AssetMaterialization(
                spec.key, metadata={} if rows is None else {"dagster/row_count": rows}
            )
        )


def build_dbt_assets() -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The assets of the dbt project. A function, because reading the manifest may parse first."""
    project = dbt_project()
    manifest = readable_manifest(project)
    translator = MartsTranslator()

    # Not executable by themselves: an unpartitioned asset among partitioned ones would split every
    # backfill of a range into several runs.
    views = build_dbt_asset_specs(
        manifest=manifest,
        project=project,
        dagster_dbt_translator=translator,
        select=VIEWS_AND_SEEDS,
    )

    sources = source_specs(manifest)

    @dbt_assets(
        manifest=manifest,
        project=project,
        dagster_dbt_translator=translator,
        name="dbt_marts",
        select=table_selection(),
        partitions_def=daily_partitions,
        backfill_policy=single_run,
    )
    def dbt_marts(
        context: dg.AssetExecutionContext, dbt: DbtCli, database: DatabaseResource
    ) -> Iterator[Any]:
        window = window_of_keys(context.partition_keys)
        with (
            again_after_a_restart(database.database),
            database.database.exclusive("marts") as waited,
        ):
            if waited:
                context.log.info("waited for another run that was writing the marts")
            lacking = relations_to_build(database.database)
            inputs = None if context.is_subset else read_inputs(database.database, window)
            changed: Sequence[date] | None = None  # not looked for: all dates are built
            if inputs is not None and not lacking and pulls_anything(context):
                changed = changed_dates(database.database, window, inputs)
            if (
                inputs is not None
                and changed == []
                and is_undated_as_built(database.database, window, inputs)
                and every_check_passed(context)
            ):
                context.log.info("nothing has changed since these dates were built")
                yield from _as_reported(as_they_are(context), context, database.database, window)
            else:
                to_build = window
                if changed is not None:
                    to_build = _changed_window(context, window, changed)
                command = ["build", *window_arguments(to_build), *_NO_UNIT_TESTS]
                if lacking:
                    command += _in_the_same_build(lacking)
                is_good = True
                with dbt.running(command, context=context) as build:
                    for event in _as_reported(build.stream(), context, database.database, window):
                        is_good &= not isinstance(event, dg.AssetCheckResult) or bool(event.passed)
                        yield event
                if is_good and inputs is not None:
                    # Dates outside of what was built are as they were.
                    remember_built(database.database, window, inputs)
                finish_relations(database.database, lacking)
                if lacking:
                    report_views(context, database.database, [*views, *sources])
        logger.info(
            "marts of %s to %s: built",
            window.start,
            window.end,
            extra={"run_id": context.run_id, "dates": f"{window.start}..{window.end}"},
        )
        fail_for_what_was_not_pulled(context, database)

    return [*views, *sources, dbt_marts]
