"""``meta-ads rebuild``: history under today's definitions, from what is landed."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.transform.dbt_cli import dbt_cli
from meta_ads_pipeline.transform.history import outdated_windows, rebuild_windows
from meta_ads_pipeline.transform.project import dbt_project
from meta_ads_pipeline.transform.relations import ensure_relations
from meta_ads_pipeline.windows import DateWindow

app = options.command_app()


@app.command()
def rebuild(
    start: options.Start = None,
    end: options.End = None,
    preset: options.Preset = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All dates of the range, not only outdated ones.")
    ] = False,
) -> int:
    """Build the marts of history anew from what is landed, where a definition has changed.

    Without dates: every date whose facts stand under an earlier definition of conversions, goals,
    models or columns (marts.fact_definitions). Nothing is pulled.
    """
    has_range = bool(start or end or preset)
    if everything and not has_range:
        raise typer.BadParameter("--all needs a range: --start and --end, or --preset")
    with running(needs_api=False) as runtime:
        window = (
            options.Range(start, end, preset).window(runtime.database, []) if has_range else None
        )
        return run_rebuild(runtime.database, window, everything, plain_console())


def run_rebuild(
    database: Database, window: DateWindow | None, everything: bool, console: Console
) -> int:
    """Build outdated dates anew, or all of ``window`` with ``everything``; returns the exit code.

    Raises dagster-dbt's error when dbt fails.
    """
    dbt = dbt_cli(dbt_project())
    with database.exclusive("marts"):
        ensure_relations(dbt, database, ())
    windows = [window] if window and everything else outdated_windows(database, window)
    if not windows:
        console.print("Every date is built under the current definition.", markup=False)
        return 0
    console.print(f"{len(windows)} windows to build, newest first.", markup=False)
    rebuild_windows(
        dbt,
        database,
        windows,
        lambda built: console.print(f"built {built.start} to {built.end}", markup=False),
    )
    left = outdated_windows(database, window)
    if left:
        dates = ", ".join(f"{each.start} to {each.end}" for each in left)
        console.print(f"Still under an earlier definition: {dates}.", markup=False)
    return 1 if left else 0
