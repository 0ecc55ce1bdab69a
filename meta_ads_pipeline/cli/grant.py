"""``meta-ads grant``: rights in Postgres itself, for BI tools and SQL editors."""

from __future__ import annotations

from typing import Annotated

import typer

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control.row_security import grant_analyst

app = options.command_app("Rights in Postgres itself, for BI tools and SQL editors.")


@app.callback()
def grant() -> None:
    """Rights in Postgres itself, for BI tools and SQL editors."""


@app.command()
def analyst(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="A role of the Postgres server.")],
) -> int:
    """Let ROLE read every mart, of all workspaces, also marts to come; nothing else."""
    with running(needs_api=False) as runtime:
        grant_analyst(runtime.database, role)
    typer.echo(f"{role} reads the schema marts. To undo: revoke meta_ads_analyst from {role}")
    return 0
