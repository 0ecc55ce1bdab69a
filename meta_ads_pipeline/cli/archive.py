"""``meta-ads archive``: old months of hourly insights as Parquet files, and back."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Annotated

import typer
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import running

app = options.command_app("Old months of hours as Parquet files. Days and totals always stay.")

_LEAST_MONTHS = 14


@app.command("list")
def list_months(as_json: options.AsJson = False) -> int:
    """Show which months are in files, and where."""
    from meta_ads_pipeline.retention import archive

    with running(needs_api=False) as runtime:
        months = archive.archived_months(runtime.database)
        folder = archive.folder(runtime.settings)
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {
                        "month": f"{each.month:%Y-%m}",
                        "file": str(folder / each.file),
                        "rows": each.row_count,
                        "bytes": each.bytes,
                        "archived_at": each.archived_at.isoformat(),
                        "restored_at": each.restored_at and each.restored_at.isoformat(),
                    }
                    for each in months
                ],
                indent=2,
            )
        )
        return 0
    if not months:
        typer.echo("No month is archived.")
        return 0
    table = Table("month", "rows", "MB", "archived", "restored", "file", box=None, pad_edge=False)
    for each in months:
        table.add_row(
            f"{each.month:%Y-%m}",
            f"{each.row_count:,}",
            f"{each.bytes / 1e6:,.1f}",
            f"{each.archived_at:%Y-%m-%d}",
            f"{each.restored_at:%Y-%m-%d}" if each.restored_at else "",
            str(folder / each.file),
        )
    plain_console().print(table)
    return 0


@app.command("run")
def run_now(
    month: Annotated[
        datetime | None,
        typer.Argument(formats=["%Y-%m"], help="This month alone, YYYY-MM; a restored one, too."),
    ] = None,
    months: Annotated[
        int | None,
        typer.Option(
            min=_LEAST_MONTHS,
            help="Months that ended so many months ago and more; META_ADS_ARCHIVE_AFTER_MONTHS.",
        ),
    ] = None,
) -> int:
    """Move old months of hours to files, and build their marts without hours."""
    from meta_ads_pipeline.retention import archive
    from meta_ads_pipeline.retention.keep import build_archived_months

    with running(needs_api=False) as runtime:
        least = (
            months or runtime.settings.archive_after_months or (_LEAST_MONTHS if month else None)
        )
        if least is None:
            raise typer.BadParameter("--months is needed: META_ADS_ARCHIVE_AFTER_MONTHS is not set")
        today = datetime.now(UTC).date()
        due = archive.due_months(runtime.database, least, today, with_restored=month is not None)
        if month is not None:
            due = [each for each in due if each == month.date()]
        for each in due:
            rows = archive.archive_month(runtime.database, runtime.settings, each)
            typer.echo(f"{each:%Y-%m}: {rows:,} rows moved to a file")
        if not due:
            named = f"{month:%Y-%m} has no hours that" if month else "No month of hours"
            typer.echo(f"{named} ended {least} months ago or more.")
        _build(build_archived_months(runtime.database))
    return 0


@app.command("restore")
def restore(
    month: Annotated[datetime, typer.Argument(formats=["%Y-%m"], help="The month, YYYY-MM.")],
) -> int:
    """Bring a month of hours back into the database, and build its marts with them."""
    from meta_ads_pipeline.retention import archive
    from meta_ads_pipeline.retention.keep import build_archived_months

    first = date(month.year, month.month, 1)
    with running(needs_api=False) as runtime:
        rows = archive.restore_month(runtime.database, runtime.settings, first)
        typer.echo(f"{first:%Y-%m}: {rows:,} rows are back; the daily job leaves the month alone")
        _build(build_archived_months(runtime.database))
    return 0


def _build(months: int | None) -> None:
    if months:
        typer.echo(f"The marts of {months} months are built.")
