"""``meta-ads status``: what needs a person, what is at work, what is not done and why."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.cli.status_causes import Cause, causes_of
from meta_ads_pipeline.control.account_states import known_accounts
from meta_ads_pipeline.control.database import Database, has_relation
from meta_ads_pipeline.control.gaps import find_gaps
from meta_ads_pipeline.credentials.brief_budget import budget_rules
from meta_ads_pipeline.rate_limit.waits import current_waits
from meta_ads_pipeline.settings import get_settings
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

app = options.command_app()

Rows = list[dict[str, Any]]


@app.command()
def status(
    as_json: options.AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between, with --watch.")] = 5,
) -> int:
    """Show what needs a person, what is at work, what is not done and why.

    Exit code 1 when something needs a person. With --watch and --json: one document a line.
    """
    console = plain_console()
    with running(needs_api=False) as runtime:
        while True:
            found = read_status(runtime.database)
            causes = causes_of(found)
            if as_json:
                document = {"needs_a_person": [asdict(cause) for cause in causes], **found}
                typer.echo(json.dumps(document, indent=None if watch else 2, default=str))
            else:
                if watch:
                    console.clear()
                    console.print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, every {every:g} s")
                print_status(console, found, causes)
            if not watch:
                return 1 if causes else 0
            try:
                time.sleep(every)
            except KeyboardInterrupt:
                return 1 if causes else 0


_PARTS = (
    "connections",
    "accounts",
    "syncs",
    "open_slices",
    "account_days",
    "checks",
    "alerts",
    "calls",
    "limits",
    "dead_letters",
)
"""What is read by ``sql/status_<part>.sql``."""

_TITLES = {
    "runs": "Runs, those at work first",
    "syncs": "Latest syncs",
    "open_slices": "Slices that are not done",
    "account_days": "Account-days that are not final: held, missing, incomplete, unsettled",
    "checks": "Checks that do not pass",
    "calls": "Calls in the last hour",
    "limits": "Call limits used above 50 %, or blocked",
    "dead_letters": "Open dead letters",
    "gaps": "Gaps inside the history, newest first",
}
_GAPS_SHOWN = 50
_ROWS_SHOWN = 8


def read_status(database: Database) -> dict[str, Rows]:
    """Accounts, connections, runs, syncs, open slices, waits, gaps, alerts, ..., each as rows."""
    settings = get_settings()
    with database.connect() as connection:
        found: dict[str, Rows] = {
            part: connection.execute(sql(f"status_{part}")).fetchall() for part in _PARTS
        }
        has_runs = has_relation(connection, "dagster.run_tags")
        found["runs"] = connection.execute(sql("status_runs")).fetchall() if has_runs else []
    left_out = [each for each in known_accounts(database) if each.is_left_out]
    gaps = find_gaps(database, datetime.now(UTC), with_reach=settings.reach)
    return {
        **found,
        "left_out": [asdict(each) for each in left_out],
        "waits": [asdict(each) for each in current_waits(database, budget_rules(settings))],
        "gaps": [{**asdict(gap), "days": gap.days} for gap in gaps[:_GAPS_SHOWN]],
    }


def print_status(console: Console, found: dict[str, Rows], causes: Sequence[Cause]) -> None:
    """Print causes with their actions, then each part, briefly; an empty part is one line."""
    if not causes:
        console.print("Nothing needs a person.")
    else:
        console.print(f"Needs a person: {len(causes)}", style="bold red")
    for cause in causes:
        console.print(f"  -> {cause.action}", style="bold", soft_wrap=True)
        console.print(f"     {cause.what}{cause.extent}", soft_wrap=True)
    for wait in found["waits"]:
        console.print(
            f"Waiting: {wait['subject']}: {wait['reason']}; next call at "
            f"{wait['until']:%Y-%m-%d %H:%M} UTC",
            soft_wrap=True,
        )
    accounts = found["accounts"]
    active = [row for row in accounts if row["is_active"]]
    newest = max((row["last_date"] for row in active if row["last_date"]), default=None)
    console.print(
        f"Ad accounts: {len(active)} active, {len(found['left_out'])} left out, "
        f"{len(accounts) - len(active)} not synced; newest date {newest or 'none'} "
        "(`meta-ads accounts list`)",
        soft_wrap=True,
    )
    explained = {account_id for cause in causes for account_id in cause.account_ids}
    for name, title in _TITLES.items():
        rows = [row for row in found[name] if row.get("account_id") not in explained]
        hidden = len(found[name]) - len(rows)
        note = f" ({hidden} more of the causes above)" if hidden else ""
        if rows:
            _print_rows(console, title + note, rows)
        else:
            console.print(f"{title}: none{note}")


def _print_rows(console: Console, title: str, rows: Rows) -> None:
    table = Table(*rows[0], title=title, title_justify="left", header_style="bold")
    for row in rows[:_ROWS_SHOWN]:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)
    if len(rows) > _ROWS_SHOWN:
        console.print(f"{len(rows) - _ROWS_SHOWN} more; --json has all of them")


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    return "" if value is None else str(value)
