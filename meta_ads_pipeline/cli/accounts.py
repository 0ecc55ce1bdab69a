"""``meta-ads accounts``: the ad accounts and whether they are synced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control.account_states import (
    KnownAccount,
    known_accounts,
    start_accounts,
    stop_accounts,
)
from meta_ads_pipeline.control.accounts import UnknownAccountError
from meta_ads_pipeline.control.purge import purge_accounts

app = options.command_app("The ad accounts: list, stop, start, purge.")

Ids = Annotated[list[str], typer.Argument(metavar="ACCOUNT...", help="Ids, with or without act_.")]


@app.command("list")
def list_accounts(as_json: options.AsJson = False) -> int:
    """Show every ad account: active, unreadable (since when and why), gone or stopped."""
    with running(needs_api=False) as runtime:
        accounts = known_accounts(runtime.database)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in accounts], indent=2, default=str))
    elif accounts:
        _print(accounts)
    else:
        typer.echo("no ad account yet: `meta-ads connect` chooses them, `meta-ads sync` reads them")
    return 0


@app.command()
def stop(ids: Ids) -> int:
    """Sync these no more, whichever setting names them. Their data stays."""
    accounts = options.account_ids(ids, "ACCOUNT")
    with running(needs_api=False) as runtime:
        changed = stop_accounts(runtime.database, accounts, datetime.now(UTC))
    _tell(accounts, changed, "stopped")
    return 0


@app.command()
def start(ids: Ids) -> int:
    """Sync these again, from the next sync on."""
    accounts = options.account_ids(ids, "ACCOUNT")
    with running(needs_api=False) as runtime:
        changed = start_accounts(runtime.database, accounts, datetime.now(UTC))
    _tell(accounts, changed, "active")
    return 0


@app.command()
def purge(ids: Ids, yes: options.Yes = False) -> int:
    """Delete all data of these accounts, raw and built, and sync them no more."""
    accounts = options.account_ids(ids, "ACCOUNT")
    with running(needs_api=False) as runtime:
        known = {each.account_id: each for each in known_accounts(runtime.database)}
        unknown = [each for each in accounts if each not in known]
        if unknown:
            raise UnknownAccountError(unknown, {key: each.name for key, each in known.items()})
        if not yes:
            named = ", ".join(f"{each} ({known[each].name or 'no name'})" for each in accounts)
            typer.confirm(f"Delete all data of {named}? This cannot be undone", abort=True)
        deleted = purge_accounts(runtime.database, accounts)
    for table, rows in deleted.items():
        typer.echo(f"{table}: {rows:,} rows deleted")
    typer.echo(f"{len(accounts)} ad accounts purged and stopped, {sum(deleted.values()):,} rows")
    return 0


def _tell(accounts: Sequence[str], changed: Sequence[str], state: str) -> None:
    for each in accounts:
        typer.echo(f"act_{each}: {state}{'' if each in changed else ' already'}")


def _print(accounts: Sequence[KnownAccount]) -> None:
    table = Table(header_style="bold")
    for heading in ("account", "state", "name", "currency", "timezone", "connection", "since, why"):
        table.add_column(heading)
    for each in accounts:
        since = f"{each.since:%Y-%m-%d %H:%M}: {each.reason}" if each.since else ""
        again = f" (next try {each.next_try_at:%Y-%m-%d %H:%M})" if each.next_try_at else ""
        table.add_row(
            each.account_id,
            str(each.state),
            each.name or "",
            each.currency or "",
            each.timezone or "",
            each.connection or "",
            f"{since}{again}",
        )
    plain_console().print(table)
