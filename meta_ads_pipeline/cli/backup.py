"""``meta-ads backup``: the whole database as one file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.control.backup import back_up
from meta_ads_pipeline.control.database import open_database
from meta_ads_pipeline.credentials.vault import KEY_FILE_NAME
from meta_ads_pipeline.settings import get_settings

app = options.command_app()


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
) -> int:
    """Write the whole database, consistent though syncs may run, in pg_dump's custom format."""
    settings = get_settings()
    started = time.monotonic()
    # As it is: what an upgrade would do to it is what a backup is for.
    database = open_database(settings, migrate=False)
    try:
        size = back_up(database, file)
    finally:
        database.release(0)
    seconds = time.monotonic() - started
    typer.echo(f"{file}: {size / 1e6:,.1f} MB in {seconds:.1f} s")
    keys = settings.home / KEY_FILE_NAME
    if not settings.encryption_keys and keys.exists():
        typer.echo(f"Keep {keys} beside it: without that key stored tokens cannot be read.")
    return 0
