"""``meta-ads plan``: what a sync of a range would cost. Asks Meta nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control.accounts import accounts_of_run
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.connection_accounts import account_owners
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from meta_ads_pipeline.raw.cost_estimate import (
    AccountEstimate,
    plan_accounts,
    plan_document,
    total_seconds,
)
from meta_ads_pipeline.settings import Settings
from meta_ads_pipeline.windows import DateWindow

app = options.command_app()


@app.command()
def plan(
    start: options.Start = None,
    end: options.End = None,
    preset: options.Preset = None,
    account: options.Accounts = None,
    as_json: options.AsJson = False,
) -> int:
    """Show what a sync of a range would cost: calls, rows, share of the budget, time. No call."""
    chosen, accounts = options.Range(start, end, preset), options.account_ids(account)
    with running(needs_api=False) as runtime:
        window = chosen.window(runtime.database, accounts)
        found = read_plan(runtime.settings, runtime.database, window, accounts)
        seconds = total_seconds(found, account_owners(runtime.database))
    if as_json:
        typer.echo(json.dumps(plan_document(window, found, seconds), indent=2))
    else:
        print_plan(plain_console(), window, found, seconds)
    return 0


def read_plan(
    settings: Settings, database: Database, window: DateWindow, accounts: Sequence[str]
) -> list[AccountEstimate]:
    """The plans of these accounts, or of all that syncs read; none before the first sync.

    Raises ``UnknownAccountError`` when none of ``accounts`` was ever landed.
    """
    known = accounts_of_run(database, accounts, settings.ad_account_ids)
    return plan_accounts(
        database,
        known,
        window,
        rules=BudgetRules(calls_per_hour=settings.calls_per_hour),
        readers=settings.max_parallel_requests_per_account,
        with_reach=settings.reach,
    )


def print_plan(
    console: Console, window: DateWindow, plans: Sequence[AccountEstimate], seconds: float
) -> None:
    """One line for each account and asset, then the sum. Expectations, not promises."""
    if not plans:
        console.print(
            "No ad account is known yet, so there is nothing to estimate from: sync one day first, "
            "for instance `meta-ads sync --preset yesterday`."
        )
        return
    table = Table(
        title=f"A sync of {window.start} to {window.end}, as expected from what is landed",
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
    )
    for column in ("account", "asset"):
        table.add_column(column, no_wrap=True)
    for column in ("calls", "reports", "rows"):
        table.add_column(column, justify="right", no_wrap=True)
    for plan in plans:
        for each in plan.assets:
            figures = (each.calls, each.reports, each.rows)
            table.add_row(
                f"act_{each.account_id}", each.asset, *(f"{figure:,}" for figure in figures)
            )
        table.add_section()
    console.print(table)
    for plan in plans:
        console.print(
            f"act_{plan.account.account_id} {plan.account.name or ''}: {plan.calls:,} calls, "
            f"{100 * plan.share:.1f} % of {plan.calls_per_hour:,} an hour ({plan.tier}), "
            f"{plan.rows:,} rows, about {math.ceil(plan.seconds / 60)} min.",
            soft_wrap=True,
        )
    console.print(f"Time {plans[0].speed.basis}.", soft_wrap=True)
    console.print(
        f"{sum(plan.calls for plan in plans):,} calls in all, about "
        f"{math.ceil(seconds / 60)} min; none was spent on this.",
        soft_wrap=True,
    )
