"""What the commands print: the account-day table, changed rows, where to go next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from meta_ads_pipeline.cli.console import labelled
from meta_ads_pipeline.cli.sync_run import SyncOutcome
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.sql_files import SqlFolder
from meta_ads_pipeline.windows import DateWindow

sql = SqlFolder(__file__)

GOOD = ("yes", "nearly")
"""What the column ``reconciled`` says of a day whose three pulls agree; nearly: within the
tolerance of a day that is not settled yet."""

_MEASURES = ("spend", "impressions", "clicks", "purchases", "revenue", "leads")

_MARTS = ("marts.account_daily", "marts.dim_ad_accounts", "marts.reconciliation")


def account_days(
    database: Database,
    window: DateWindow,
    accounts: Sequence[str] = (),
    outcome: SyncOutcome | None = None,
) -> list[dict[str, Any]]:
    """One row per account and day of the window: measures, and whether the three pulls agree.

    After a sync (``outcome``) a day that it did not pull, or whose marts it did not build, says so:
    its numbers are those of an earlier sync. No rows before the marts are there: a first build may
    have failed.
    """
    with database.connect() as connection:
        built = connection.execute(
            "select bool_and(to_regclass(name) is not null) as built"
            " from unnest(%s::text[]) as name",
            [list(_MARTS)],
        ).fetchone()
        assert built is not None
        if not built["built"]:
            return []
        return connection.execute(
            sql("reported_account_days"),
            {
                "start": window.start,
                "end": window.end,
                "accounts": list(accounts),
                "assets": list(INSIGHTS_TABLES),
                "since": outcome.started_at if outcome else None,
                "built": outcome is None or outcome.marts_built,
            },
        ).fetchall()


def print_account_days(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """One table per account: its days, measures, and whether the three pulls agree."""
    for account_id, days in groupby(rows, key=lambda row: str(row["account_id"])):
        account = list(days)
        name, currency = account[0]["name"] or "", account[0]["currency"]
        table = Table(
            title=Text(f"{name} (act_{account_id}), {currency}"),
            title_justify="left",
            header_style="bold",
            box=None,  # eighty columns are enough without lines
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        table.add_column("day", no_wrap=True)
        for measure in _MEASURES:
            table.add_column(measure, justify="right", no_wrap=True)
        table.add_column("reconciled", no_wrap=True)
        for row in account:
            colour = "green" if row["reconciled"] in GOOD else "red"
            table.add_row(
                row["event_date"].isoformat(),
                *(_number(row[measure]) for measure in _MEASURES),
                Text(row["reconciled"], colour),
            )
        console.print(table)


def print_outcome(console: Console, outcome: SyncOutcome) -> None:
    """One or a few lines: what was done, what changed, what failed and why."""
    if outcome.resumed:
        console.print("Resumed an unfinished sync: slices that were done were not fetched again.")
    console.print(f"{outcome.slices_done} slices done in {outcome.seconds} s.")
    console.print(
        Text.assemble(
            "raw: ",
            (f"{outcome.rows_changed} rows changed", "bold"),
            f" ({outcome.rows_inserted} inserted, {outcome.rows_updated} updated, "
            f"{outcome.rows_deleted} deleted), {outcome.rows_unchanged} unchanged, "
            f"{outcome.rows_dead_lettered} dead-lettered.",
        ),
        soft_wrap=True,
    )
    console.print(
        Text.assemble("marts: ", (f"{outcome.mart_rows_changed} rows changed", "bold"), ".")
    )
    expected = outcome.expected_api_calls
    console.print(
        f"{outcome.api_calls} API calls for insights and entities"
        + (f", {expected} expected." if expected is not None else ".")
    )
    for account_id, reason in outcome.accounts_left_out.items():
        console.print(
            labelled(
                "account left out",
                f"act_{account_id}: {reason}. `meta-ads accounts stop {account_id}` stops it",
                "red",
            ),
            soft_wrap=True,
        )
    for label, problems in (
        ("check failed", outcome.failed_checks),
        ("step failed", outcome.failed_steps),
        ("error", outcome.errors),
    ):
        for problem in problems:
            console.print(labelled(label, problem, "red"), soft_wrap=True)
    if outcome.slices_failed:
        console.print(
            Text.assemble(
                (f"{outcome.slices_failed} slices failed", "red"), "; run the same command again."
            )
        )


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:,}"
