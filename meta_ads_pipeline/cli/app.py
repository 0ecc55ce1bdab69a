"""``meta-ads``: which commands there are, and how a failure is told.

A command is one file of this folder with a Typer app called ``app``. It is imported when it is
called: ``meta-ads --help`` imports none of them.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import typer

# Typer carries its own copy of click.
from typer._click import Command, Context
from typer._click.exceptions import UsageError
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from meta_ads_pipeline import __version__
from meta_ads_pipeline.errors import MetaAdsError
from meta_ads_pipeline.redaction import redact

_CLICKS_INTERRUPT = 130
"""What click returns for a ``KeyboardInterrupt`` that it caught."""


class Listed(NamedTuple):
    """A command as ``meta-ads --help`` lists it."""

    module: str
    help: str


COMMANDS = {
    "demo": Listed("demo", "Sync two weeks of three generated ad accounts, from nothing."),
    "up": Listed("up", "Start Postgres, the Dagster UI and its daemon."),
    "connect": Listed("connect", "Store an access token and choose its ad accounts."),
    "doctor": Listed("doctor", "Check credentials, limits, database, Dagster, dbt, disk."),
    "plan": Listed("plan", "Calls, rows and time that a sync would take."),
    "sync": Listed("sync", "Pull, load, build and check a range of dates."),
    "rebuild": Listed("rebuild", "Build history anew where a definition has changed."),
    "status": Listed("status", "What needs a person, what is not done and why."),
    "alerts": Listed("alerts", "Open alerts, and where they are sent."),
    "serve": Listed("serve", "The HTTP service: Meta's webhooks, health, metrics."),
    "mcp": Listed("mcp", "The numbers for an assistant, by the Model Context Protocol."),
    "keys": Listed("keys", "API keys of the HTTP service: create, list, revoke."),
    "grant": Listed("grant", "Let a Postgres role read the marts."),
    "webhooks": Listed("webhooks", "What Meta announced, and whether the receiver works."),
    "accounts": Listed("accounts", "The ad accounts: list, stop, start, purge."),
    "connections": Listed("connections", "The stored tokens and their encryption keys."),
    "dead-letters": Listed("dead_letters", "Rows and objects that could not be used."),
    "query": Listed("query", "Run a read-only SQL query."),
    "backup": Listed("backup", "Write the whole database to a file."),
    "restore": Listed("restore", "Fill an empty database from a backup."),
    "retention": Listed("retention", "For how long rows, records and logs are kept."),
    "archive": Listed("archive", "Old months of hours as Parquet files: list, run, restore."),
    "verify": Listed("verify", "Compare the marts with an export of Ads Manager."),
    "workspace": Listed("workspace", "Settings that the readers of a workspace share."),
    "exec": Listed("execute", "Run dagster, dbt or psql with the environment ready."),
    "simulator": Listed("simulator", "Serve Meta's Graph API on loopback."),
}


class LazyGroup(TyperGroup):
    """Lists commands without importing them; imports the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, listed in COMMANDS.items():
            self.add_command(TyperCommand(name=name, help=listed.help))

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        """The command that is called, imported."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = load_command(name)
        return name, command, rest


def load_command(name: str) -> Command:
    """Import the command's file."""
    module = importlib.import_module(f"meta_ads_pipeline.cli.{COMMANDS[name].module}")
    return get_command(module.app)


app = typer.Typer(
    name="meta-ads",
    cls=LazyGroup,
    help="Meta ads by the hour in Postgres, proven against Ads Manager.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit code: 0 done, 1 failed, 2 wrong use."""
    try:
        code = app(list(arguments), prog_name="meta-ads", standalone_mode=False)
    except UsageError as error:
        error.message = redact(error.message)  # it quotes what was typed
        error.show()
        return 2
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted()
    except MetaAdsError as error:
        _print(*map(redact, error.lines))
        return error.exit_code
    if code == _CLICKS_INTERRUPT:
        return _interrupted()
    return int(code or 0)


def _interrupted() -> int:
    from meta_ads_pipeline.cli.interrupts import INTERRUPTED, announced

    _print(INTERRUPTED, heading="")
    announced.set()
    return 1


def _print(*lines: str, heading: str = "error") -> None:
    from meta_ads_pipeline.cli.console import print_errors  # Rich takes a while to import

    print_errors(*lines, heading=heading)


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    _version_flag: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more to stderr.")] = False,
) -> None:
    """Options of every command."""
    from meta_ads_pipeline.logs import configure_logs  # structlog imports Rich
    from meta_ads_pipeline.settings import SettingsError, get_settings

    level = logging.INFO if verbose else logging.WARNING
    try:
        configure_logs(get_settings().log_format, level)
    except SettingsError:  # the command itself will say what is wrong
        configure_logs("text", level)
