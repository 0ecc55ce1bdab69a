"""``meta-ads demo``: the main job on generated accounts, from nothing to reconciled marts."""

from __future__ import annotations

import os
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import steady_console
from meta_ads_pipeline.cli.options import today_anywhere
from meta_ads_pipeline.cli.report import GOOD, account_days, print_account_days, print_outcome
from meta_ads_pipeline.cli.runtime import Runtime, running
from meta_ads_pipeline.cli.sync_run import run_sync
from meta_ads_pipeline.settings import REAL_GRAPH_URL, get_settings
from meta_ads_pipeline.windows import DateWindow

_REAL = ("META_ACCESS_TOKEN", "META_AD_ACCOUNT_IDS", "META_ADS_DATABASE_URL")

_EXAMPLE = (
    "select event_hour, sum(spend) as spend, sum(clicks) as clicks"
    " from marts.account_hourly where account_id = '{account}' group by 1 order by 1"
)


app = options.command_app()


@app.command()
def demo(
    days: Annotated[int, typer.Option(min=1, max=365, help="How many days back.")] = 14,
) -> int:
    """Sync the last two weeks of three generated accounts and show the reconciled numbers."""
    return run_demo(days, steady_console())


def run_demo(days: int, console: Console) -> int:
    """Backfill the last ``days`` full days as one run, print the table; 0 when all reconciled.

    The demo always reads the simulator. Where real credentials or a real database are configured,
    it keeps to a home of its own, so that generated numbers never land among real ones.
    """
    settings = get_settings()
    if not settings.uses_simulator or settings.database_url is not None:
        os.environ["META_ADS_HOME"] = str(settings.home / "demo")
        for name in _REAL:
            os.environ[name] = ""
        os.environ["META_GRAPH_URL"] = REAL_GRAPH_URL  # with no token: the simulator
        get_settings.cache_clear()
    end = today_anywhere() - timedelta(days=2)  # a day that is over in every timezone
    window = DateWindow(end - timedelta(days=days - 1), end)
    console.print(
        f"Backfilling {window.start} to {window.end} from the Graph API simulator, as one run."
    )
    with running(may_simulate=True) as runtime:
        outcome = run_sync(runtime, window, (), console)
        rows = account_days(runtime.database, window, outcome=outcome)
        print_account_days(console, rows)
        print_outcome(console, outcome)
        if rows:
            _print_next(console, runtime, rows[0]["account_id"])
    reconciled = all(row["reconciled"] in GOOD for row in rows)
    return 0 if outcome.success and rows and reconciled else 1


def _print_next(console: Console, runtime: Runtime, account_id: str) -> None:
    url = runtime.database.safe_url
    command = Path(sys.argv[0]).resolve()
    if command.is_relative_to(Path.cwd()):
        command = command.relative_to(Path.cwd())
    console.print("\nWhere to go next", style="bold", soft_wrap=True)
    console.print("  dashboard    make dev, then the address that it prints", soft_wrap=True)
    console.print("  Dagster UI   make dev, then http://127.0.0.1:3000", soft_wrap=True)
    console.print(f'  psql         make dev, then psql "{url}"', soft_wrap=True)
    console.print(
        f'  a query      {shlex.quote(str(command))} query "{_EXAMPLE.format(account=account_id)}"',
        soft_wrap=True,
    )
    console.print("  real data    put META_ACCESS_TOKEN in .env (see .env.example)", soft_wrap=True)
