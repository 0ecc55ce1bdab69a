"""The commands of ``meta-ads`` and how their failures are told."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import pydantic
import typer
from rich.console import Console
from typer._click.exceptions import UsageError  # typer carries its own copy of click

from meta_ads_pipeline import __version__
from meta_ads_pipeline.cli.commands_credentials import connect, connections_app, doctor
from meta_ads_pipeline.cli.commands_reading import query, workspace_app
from meta_ads_pipeline.cli.dead_letters import dead_letters_app
from meta_ads_pipeline.meta_api.redaction import redact
from meta_ads_pipeline.windows import PRESETS, DateWindow, preset_window

app = typer.Typer(
    name="meta-ads",
    help="Meta ads by the hour in Postgres, proven against Ads Manager.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Whatever else is typed after `connect` may be a token, which must not be quoted back.
app.command(context_settings={"allow_extra_args": True})(connect)
app.add_typer(connections_app)
app.add_typer(dead_letters_app)
app.add_typer(workspace_app)
app.command()(doctor)
app.command()(query)

_errors = Console(stderr=True, highlight=False, soft_wrap=True)

Start = Annotated[
    str | None, typer.Option("--start", metavar="YYYY-MM-DD", help="First date, account-local.")
]
End = Annotated[
    str | None, typer.Option("--end", metavar="YYYY-MM-DD", help="Last date, included.")
]
Preset = Annotated[
    str | None, typer.Option("--preset", help=f"Instead of dates: {', '.join(PRESETS)}.")
]
AccountOption = Annotated[
    list[str] | None,
    typer.Option("--account", help="Ad account id, with or without act_; may be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def run(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit code: 0 done, 1 failed, 2 bad usage."""
    try:
        code = app(list(arguments), standalone_mode=False)
    except UsageError as error:
        error.message = redact(error.message)  # it quotes what was typed
        error.show()
        return 2
    except (typer.Abort, KeyboardInterrupt):
        _errors.print("stopped; the same command again goes on where this one ended")
        return 1
    except pydantic.ValidationError as error:
        if error.title != "Settings":
            raise
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            _errors.print(f"[red]error:[/] {where}: {problem['msg']} (environment or .env)")
        return 2
    except Exception as error:
        if not _is_known(error):
            raise
        _errors.print("[red]error:[/]", redact(error).strip(), markup=True)
        return 1
    return int(code or 0)


def _is_known(error: Exception) -> bool:
    """Whether the message already says what to do; anything else is a bug and keeps its trace."""
    from meta_ads_pipeline.cli.connect import ConnectError
    from meta_ads_pipeline.cli.runtime import SimulatorError
    from meta_ads_pipeline.control.accounts import UnknownAccountError
    from meta_ads_pipeline.control.database import DatabaseError
    from meta_ads_pipeline.control.dead_letters import DeadLetterNotFoundError
    from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgresError
    from meta_ads_pipeline.credentials.checks import AppCredentialsError
    from meta_ads_pipeline.credentials.connections import (
        ConnectionInUseError,
        ConnectionNotFoundError,
    )
    from meta_ads_pipeline.credentials.vault import VaultError
    from meta_ads_pipeline.meta_api.errors import MetaApiError

    return isinstance(
        error,
        SimulatorError
        | UnknownAccountError
        | DatabaseError
        | DeadLetterNotFoundError
        | EmbeddedPostgresError
        | MetaApiError
        | AppCredentialsError
        | ConnectError
        | ConnectionInUseError
        | ConnectionNotFoundError
        | VaultError,
    )


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
    handler = logging.StreamHandler()
    # On the handler, not the root logger: Dagster sets levels on loggers of its own.
    handler.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.basicConfig(
        level=logging.INFO,
        handlers=[handler],
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


@app.command()
def sync(
    start: Start = None,
    end: End = None,
    preset: Preset = None,
    account: AccountOption = None,
    as_json: AsJson = False,
) -> int:
    """Pull, load, build and check a range of dates. The same command again resumes or refreshes."""
    from meta_ads_pipeline.cli.report import account_days, print_account_days, print_outcome
    from meta_ads_pipeline.cli.runtime import running
    from meta_ads_pipeline.cli.sync import run_sync

    window = _window(start, end, preset)
    accounts = _account_ids(account)
    console = _steady_console()
    with running() as runtime:
        outcome = run_sync(runtime, window, accounts, None if as_json else console)
        if as_json:
            typer.echo(json.dumps(outcome.as_json(), indent=2))
        else:
            print_account_days(console, account_days(runtime.database, window, accounts))
            print_outcome(console, outcome)
    return 0 if outcome.success else 1


@app.command()
def plan(
    start: Start = None,
    end: End = None,
    preset: Preset = None,
    account: AccountOption = None,
    as_json: AsJson = False,
) -> int:
    """Show what a sync of a range would cost: calls, rows, share of the budget, time. No call."""
    from meta_ads_pipeline.cli import plan as plans
    from meta_ads_pipeline.cli.runtime import running

    window, accounts = _window(start, end, preset), _account_ids(account)
    with running(needs_api=False) as runtime:
        found = plans.read_plan(runtime.settings, runtime.database, window, accounts)
    if as_json:
        typer.echo(json.dumps(plans.as_json(window, found), indent=2))
    else:
        plans.print_plan(Console(highlight=False), window, found)
    return 0


@app.command()
def demo(
    days: Annotated[int, typer.Option(min=1, max=365, help="How many days back.")] = 14,
) -> int:
    """Backfill the last two weeks of three generated accounts and show the reconciled numbers."""
    from meta_ads_pipeline.cli.demo import run_demo

    return run_demo(days, _steady_console())


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port of the Dagster UI.")] = 3000,
    host: Annotated[str, typer.Option(help="Address the UI listens on.")] = "127.0.0.1",
) -> int:
    """Start Postgres, the simulator (without credentials), the Dagster UI and its daemon."""
    from meta_ads_pipeline.cli.up import run_up

    return run_up(host, port, Console(highlight=False))


@app.command("exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def execute(context: typer.Context) -> int:
    """Run a command, for instance dagster, dbt or psql, with database and environment ready."""
    from meta_ads_pipeline.cli.execute import run_command
    from meta_ads_pipeline.cli.runtime import running

    if not context.args:
        raise typer.BadParameter("give a command, for instance: meta-ads exec dagster --help")
    with running(needs_api=False):
        return run_command(context.args)


@app.command()
def status(as_json: AsJson = False) -> int:
    """Show accounts, syncs, slices that are not done, and open dead letters."""
    from meta_ads_pipeline.cli.runtime import running
    from meta_ads_pipeline.cli.status import print_status, read_status

    with running(needs_api=False) as runtime:
        found = read_status(runtime.database)
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=str))
    else:
        print_status(Console(highlight=False), found)
    return 0


@app.command()
def verify(
    csv: Annotated[
        Path, typer.Option("--csv", exists=True, dir_okay=False, help="Ads Manager export (.csv).")
    ],
    account: Annotated[
        str | None, typer.Option("--account", help="Ad account id, with or without act_.")
    ] = None,
    tolerance: Annotated[
        str, typer.Option(help="Largest difference of a value that passes, as a percentage.")
    ] = "5%",
    as_json: AsJson = False,
) -> int:
    """Compare the marts with an export of Ads Manager; fail where they differ too much."""
    from meta_ads_pipeline.cli.runtime import running
    from meta_ads_pipeline.cli.verify import parse_tolerance, run_verify
    from meta_ads_pipeline.verify.export_file import AdsManagerFileError

    account_ids = _account_ids([account] if account else None)
    try:
        share = parse_tolerance(tolerance)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--tolerance") from error
    with running(needs_api=False) as runtime:
        try:
            return run_verify(
                runtime.database,
                csv,
                account=next(iter(account_ids), None),
                tolerance=share,
                as_json=as_json,
            )
        except AdsManagerFileError as error:
            raise typer.BadParameter(f"{csv.name}: {error}", param_hint="--csv") from error


@app.command("simulator")
def simulator_command(
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8765,
    accounts: Annotated[int, typer.Option(min=0, help="Accounts to generate.")] = 3,
    ads: Annotated[int | None, typer.Option(min=1, help="Ads per generated account.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the generated accounts.")] = 1,
    recording: Annotated[
        list[Path] | None, typer.Option(exists=True, file_okay=False, help="Recorded account.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help='A fault as JSON, for instance {"kind": "transient", "times": 3}.'),
    ] = None,
    latency_ms: Annotated[float, typer.Option(min=0, help="Delay of every answer.")] = 0.0,
    job_seconds: Annotated[float, typer.Option(min=0, help="Duration of an async job.")] = 2.0,
    enforce_limits: Annotated[bool, typer.Option(help="Refuse calls above the limits.")] = False,
    ready_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
    quiet: Annotated[bool, typer.Option(help="Print nothing but errors.")] = False,
) -> int:
    """Serve Meta's Graph API on loopback: generated or recorded accounts, faults on demand."""
    from meta_ads_pipeline.cli.runtime import SimulatorError
    from meta_graph_simulator import RecordingError, SimulatorConfig, run_simulator

    values: dict[str, Any] = {
        "port": port,
        "accounts": accounts,
        "seed": seed,
        "recordings": tuple(recording or ()),
        "faults": tuple(_fault(text) for text in fault or ()),
        "latency_ms": latency_ms,
        "job_seconds": job_seconds,
        "enforce_limits": enforce_limits,
    }
    if ads is not None:
        values["ads"] = ads

    def ready(url: str) -> None:
        if ready_file is not None:
            partial = ready_file.with_suffix(".tmp")
            partial.write_text(json.dumps({"url": url}))
            partial.replace(ready_file)
        if not quiet:
            typer.echo(f"Graph API simulator on {url} (Ctrl-C stops it)")

    try:
        # uvicorn raises Ctrl-C again once it has stopped: that is how this command ends.
        with suppress(KeyboardInterrupt):
            run_simulator(SimulatorConfig(**values), on_start=ready)
    except RecordingError as error:
        raise typer.BadParameter(str(error), param_hint="--recording") from error
    except OSError as error:
        raise SimulatorError(
            f"cannot listen on port {port}: {error.strerror}. Choose another with --port"
        ) from error
    return 0


def _fault(text: str) -> dict[str, Any]:
    try:
        fault = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not JSON: {error}") from error
    if not isinstance(fault, dict) or "kind" not in fault:
        raise typer.BadParameter(f'{text!r}: expected an object with "kind"')
    return fault


def _window(start: str | None, end: str | None, preset: str | None) -> DateWindow:
    from meta_ads_pipeline.cli.sync import today_anywhere

    if preset is not None:
        if start or end:
            raise typer.BadParameter("give --preset or --start and --end, not both")
        try:
            return preset_window(preset, today_anywhere())
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--preset") from error
    if not start or not end:
        raise typer.BadParameter("give --start and --end (YYYY-MM-DD), or --preset")
    first, last = _date(start, "--start"), _date(end, "--end")
    today = today_anywhere()
    if last > today:
        raise typer.BadParameter(f"{last} has not begun anywhere yet", param_hint="--end")
    try:
        return DateWindow(first, last)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--start") from error


def _date(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a date: expected YYYY-MM-DD, for instance 2026-11-20",
            param_hint=option,
        ) from error


def _account_ids(values: Sequence[str] | None) -> list[str]:
    ids = [value.strip().removeprefix("act_") for value in values or ()]
    for value in ids:
        if not value.isdigit():
            raise typer.BadParameter(
                f"{value!r} is not an ad account id: expected digits, with or without act_",
                param_hint="--account",
            )
    return ids


def _steady_console() -> Console:
    """A console of its own file: Dagster redirects stdout and stderr while steps run."""
    import os
    import sys

    descriptor = os.dup(sys.stdout.fileno())
    return Console(file=os.fdopen(descriptor, "w", buffering=1), highlight=False)
