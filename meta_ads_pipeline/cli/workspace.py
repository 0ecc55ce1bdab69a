"""``meta-ads workspace``: what the readers of a workspace share."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control.timezones import set_workspace_timezone, workspace_timezones

app = options.command_app("Settings that the readers of a workspace share.")


@app.callback()
def workspace() -> None:
    """Settings that the readers of a workspace share."""


@app.command("timezone")
def timezone(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The workspace; none: all of them.")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Argument(metavar="[TZ]", help="IANA timezone, or `account`: each account's own."),
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Show or set the timezone that a workspace reads the *_display marts in.

    A user's setting meta_ads.display_timezone comes before it, a query's --timezone before both.
    """
    with running(needs_api=False) as runtime:
        if name is not None and timezone is not None:
            chosen = None if timezone == "account" else timezone
            set_workspace_timezone(runtime.database, name, chosen)
        found = workspace_timezones(runtime.database, name)
    if as_json:
        typer.echo(json.dumps({key: value or "account" for key, value in found.items()}, indent=2))
    else:
        for key, value in found.items():
            typer.echo(f"{key}: {value or 'each account has its own'}")
    return 0
