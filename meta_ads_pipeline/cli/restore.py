"""``meta-ads restore``: an empty database filled from a backup."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.control.backup import restore as restore_backup
from meta_ads_pipeline.control.database import latest_revision, open_database
from meta_ads_pipeline.credentials.vault import TokenVault
from meta_ads_pipeline.settings import get_settings

app = options.command_app()


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `meta-ads backup` has written.")],
) -> int:
    """Fill the database of META_ADS_HOME or META_ADS_DATABASE_URL, which must be empty.

    All of it or nothing. A backup of an older version is upgraded.
    """
    settings = get_settings()
    started = time.monotonic()
    database = open_database(settings, migrate=False)
    try:
        revision = restore_backup(database, file)
        with database.connect() as connection:
            has_tokens = connection.execute(
                "select 1 from control.connections where token_ciphertext is not null"
            ).fetchone()
    finally:
        database.release(0)
    upgraded = "" if revision == latest_revision() else f", upgraded from schema {revision}"
    typer.echo(f"{file} restored in {time.monotonic() - started:.1f} s{upgraded}")
    vault = TokenVault.from_settings(settings)
    if has_tokens and vault.source is None:
        typer.echo(
            f"Put the encryption keys of the old home to {vault.key_file}: without them stored "
            "tokens cannot be read (or `meta-ads connect` again)."
        )
    typer.echo("Roles that were granted the marts: `meta-ads grant analyst ROLE` again.")
    return 0
