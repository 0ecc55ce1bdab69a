"""The commands about credentials: ``connect``, ``connections ...``, ``doctor``. Imports wait."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="NAME or WORKSPACE/NAME; none: all of them."),
]

connections_app = typer.Typer(
    name="connections",
    help="The stored Meta credentials: list, validate, refresh, remove, rotate keys.",
    no_args_is_help=True,
)


def connect(
    context: typer.Context,
    workspace: Annotated[str, typer.Option(help="Whose it is; made if new.")] = "default",
    name: Annotated[str, typer.Option(help="Name of the connection in its workspace.")] = "main",
    account: Annotated[
        list[str] | None,
        typer.Option(
            "--account", help="Ad account to sync, with or without act_; may be repeated."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every ad account, and those that come later.")
    ] = False,
    exchange: Annotated[
        bool, typer.Option(help="Exchange a short-lived token for a long-lived one.")
    ] = True,
    as_json: AsJson = False,
) -> int:
    """Store a Meta access token, encrypted, and choose the ad accounts to sync with it.

    The token is asked for without being shown, read from standard input where that is not a
    terminal, or taken from META_ACCESS_TOKEN: never from an argument.
    """
    from meta_ads_pipeline.cli.connect import ConnectRequest, obtain_token, run_connect
    from meta_ads_pipeline.cli.runtime import running

    if context.args:
        raise typer.BadParameter(
            "a token is never given as an argument: other users see it and the shell's history "
            "keeps it. Revoke it if it was a real one; then paste a new one at the prompt or pipe "
            "it in"
        )
    if account and everything:
        raise typer.BadParameter("give --account or --all, not both")
    for label, value in (("--workspace", workspace), ("--name", name)):
        if not value.strip() or "/" in value:
            raise typer.BadParameter("expected a name without a slash", param_hint=label)
    ids = [each.strip().removeprefix("act_") for each in account or ()]
    if not all(each.isdigit() for each in ids):
        raise typer.BadParameter("an ad account id is digits", param_hint="--account")
    request = ConnectRequest(workspace, name, tuple(ids), everything, exchange)
    with running(needs_api=False) as runtime:
        token = obtain_token(runtime.settings)
        console = Console(highlight=False)
        return run_connect(
            runtime.settings, runtime.database, token, request, console, as_json=as_json
        )


def doctor(as_json: AsJson = False) -> int:
    """Check credentials, accounts, limits, database, Dagster, dbt, disk; say what to do."""
    from meta_ads_pipeline.cli.doctor import run_doctor
    from meta_ads_pipeline.settings import get_settings

    return run_doctor(get_settings(), Console(highlight=False), as_json=as_json)


@connections_app.command("list")
def list_connections(as_json: AsJson = False) -> int:
    """Show every connection, how it stands, and its ad accounts."""
    from meta_ads_pipeline.cli.connections import run_list
    from meta_ads_pipeline.cli.runtime import running

    with running(needs_api=False) as runtime:
        return run_list(runtime, as_json=as_json)


@connections_app.command()
def validate(names: Names = None, as_json: AsJson = False) -> int:
    """Ask Meta about the tokens and read with them; exit code 1 when one cannot be used."""
    from meta_ads_pipeline.cli.connections import run_validate
    from meta_ads_pipeline.cli.runtime import running

    with running(needs_api=False) as runtime:
        return run_validate(runtime, names or (), as_json=as_json)


@connections_app.command()
def refresh(names: Names = None, as_json: AsJson = False) -> int:
    """Renew the tokens now, due or not; the old one stays until the new one is proven."""
    from meta_ads_pipeline.cli.connections import run_refresh
    from meta_ads_pipeline.cli.runtime import running

    with running(needs_api=False) as runtime:
        return run_refresh(runtime, names or (), as_json=as_json)


@connections_app.command()
def remove(
    name: Annotated[str, typer.Argument(help="NAME or WORKSPACE/NAME.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Forget a connection and its token. Its accounts are no longer synced; their data stays."""
    from meta_ads_pipeline.cli.connections import run_remove
    from meta_ads_pipeline.cli.runtime import running

    with running(needs_api=False) as runtime:
        return run_remove(runtime, name, ask=not yes)


@connections_app.command("rotate-keys")
def rotate_keys() -> int:
    """Encrypt every stored token anew with the newest key."""
    from meta_ads_pipeline.cli.connections import run_rotate_keys
    from meta_ads_pipeline.cli.runtime import running

    with running(needs_api=False) as runtime:
        return run_rotate_keys(runtime)
