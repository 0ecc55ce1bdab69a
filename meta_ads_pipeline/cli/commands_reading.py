"""The commands about reading: ``query``, ``workspace timezone``. Imports wait."""

from __future__ import annotations

import json
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

workspace_app = typer.Typer(
    name="workspace", help="What a workspace's readers share.", no_args_is_help=True
)


def query(
    sql: Annotated[str, typer.Argument(help="A select, run read-only.")],
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows to print at most.")] = 100,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="TZ",
            help="IANA timezone of the *_display marts, or `account` for each account's own.",
        ),
    ] = None,
) -> int:
    """Run a read-only SQL query, for instance on the tables of the schema marts."""
    from meta_ads_pipeline.cli.query import run_query
    from meta_ads_pipeline.cli.runtime import running
    from meta_ads_pipeline.control.timezones import TimezoneError

    with running(needs_api=False) as runtime:
        try:
            return run_query(runtime.database, sql, limit=limit, as_json=as_json, timezone=timezone)
        except TimezoneError as error:
            raise typer.BadParameter(str(error), param_hint="--timezone") from error


@workspace_app.command("timezone")
def workspace_timezone(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The workspace; none: all of them.")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Argument(metavar="[TZ]", help="IANA timezone, or `account`: each account's own."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Show or set the timezone that a workspace reads the *_display marts in.

    A user's setting meta_ads.display_timezone comes before it, a query's --timezone before both.
    """
    from meta_ads_pipeline.cli.runtime import running
    from meta_ads_pipeline.control.timezones import (
        TimezoneError,
        WorkspaceNotFoundError,
        set_workspace_timezone,
        workspace_timezones,
    )

    with running(needs_api=False) as runtime:
        try:
            if name is not None and timezone is not None:
                chosen = None if timezone == "account" else timezone
                set_workspace_timezone(runtime.database, name, chosen)
            found = workspace_timezones(runtime.database, name)
        except WorkspaceNotFoundError as error:
            raise typer.BadParameter(str(error), param_hint="NAME") from error
        except TimezoneError as error:
            raise typer.BadParameter(str(error), param_hint="TZ") from error
    if as_json:
        typer.echo(json.dumps({key: value or "account" for key, value in found.items()}, indent=2))
    else:
        for key, value in found.items():
            typer.echo(f"{key}: {value or 'each account has its own'}")
    return 0
