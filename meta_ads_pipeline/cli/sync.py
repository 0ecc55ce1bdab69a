"""``meta-ads sync``: pull, load, build and check a range of dates."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import steady_console
from meta_ads_pipeline.cli.report import account_days, print_account_days, print_outcome
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.cli.sync_run import run_sync

app = options.command_app()


@app.command()
def sync(
    start: options.Start = None,
    end: options.End = None,
    preset: options.Preset = None,
    account: options.Accounts = None,
    simulator: Annotated[
        bool,
        typer.Option("--simulator", help="Without a token: generated accounts, as in the demo."),
    ] = False,
    all_hours: Annotated[
        bool,
        typer.Option("--all-hours", help="Also read hours again that agree with their day."),
    ] = False,
    as_json: options.AsJson = False,
) -> int:
    """Pull, load, build and check a range of dates.

    The same command again resumes what was interrupted, or refreshes what is done: days are read
    first, then the hours of days that have changed.
    """
    chosen = options.Range(start, end, preset)
    accounts = options.account_ids(account)
    console = steady_console()
    with running(may_simulate=simulator) as runtime:
        window = chosen.window(runtime.database, accounts)
        outcome = run_sync(
            runtime, window, accounts, None if as_json else console, all_hours=all_hours
        )
        if as_json:
            typer.echo(json.dumps(outcome.as_json(), indent=2))
        else:
            print_account_days(console, account_days(runtime.database, window, accounts, outcome))
            print_outcome(console, outcome)
    return 0 if outcome.success else 1
