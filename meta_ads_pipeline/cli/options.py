"""What the commands have in common: their Typer apps, options, and what values become."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.settings import get_settings
from meta_ads_pipeline.windows import PRESETS, DateWindow, local_today, preset_window

Start = Annotated[
    str | None, typer.Option("--start", metavar="YYYY-MM-DD", help="First date, account-local.")
]
End = Annotated[
    str | None, typer.Option("--end", metavar="YYYY-MM-DD", help="Last date, included.")
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help=f"Instead of dates, from the ad accounts' own today: {', '.join(PRESETS)}.",
    ),
]
Accounts = Annotated[
    list[str] | None,
    typer.Option("--account", help="Ad account id, with or without act_; may be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def command_app(group_help: str | None = None) -> typer.Typer:
    """The Typer app of a command's file. With ``group_help``: of a group of commands.

    Help is plain text: faster to come than Rich's, and brackets stay as they are.
    """
    return typer.Typer(
        help=group_help,
        no_args_is_help=group_help is not None,
        add_completion=False,
        rich_markup_mode=None,
    )


def account_ids(values: Sequence[str] | None, hint: str = "--account") -> list[str]:
    """Ids without ``act_``, each once. Raises ``typer.BadParameter`` on what is no id."""
    ids = [value.strip().removeprefix("act_") for value in values or ()]
    for value in ids:
        if not value.isascii() or not value.isdigit():
            raise typer.BadParameter(
                f"{value!r} is not an ad account id: expected digits, with or without act_",
                param_hint=hint,
            )
    return list(dict.fromkeys(ids))


class Range:
    """A range of dates as it was asked for: dates, or the name of a preset.

    Raises ``typer.BadParameter`` on neither, both, or what is no date.
    """

    def __init__(self, start: str | None, end: str | None, preset: str | None) -> None:
        self._preset = preset
        if preset is not None:
            if start or end:
                raise typer.BadParameter("give --preset or --start and --end, not both")
            if preset not in PRESETS:
                raise typer.BadParameter(
                    f"unknown preset {preset!r}: expected one of {', '.join(PRESETS)}",
                    param_hint="--preset",
                )
            return
        if not start or not end:
            raise typer.BadParameter("give --start and --end (YYYY-MM-DD), or --preset")
        first, last = _date(start, "--start"), _date(end, "--end")
        if last > today_anywhere():
            raise typer.BadParameter(f"{last} has not begun anywhere yet", param_hint="--end")
        earliest = _history_start()
        if first < earliest:
            raise typer.BadParameter(
                f"{first} is before the history's start, {earliest} (META_ADS_HISTORY_START)",
                param_hint="--start",
            )
        if last < first:
            raise typer.BadParameter(f"{first} is after {last}", param_hint="--start")
        self._dates = DateWindow(first, last)

    def window(self, database: Database, accounts: Sequence[str] = ()) -> DateWindow:
        """The dates. Of a preset: every date that it names for one of the accounts.

        ``today`` is each account's own: for accounts in New York and Tokyo it spans two dates, of
        which a date that has not begun for an account is not read for it. Before the first sync no
        account is known, and UTC decides.
        """
        if self._preset is None:
            return self._dates
        windows = [
            preset_window(self._preset, local_today(timezone, datetime.now(UTC)))
            for timezone in _timezones(database, accounts) or ["UTC"]
        ]
        whole = DateWindow(min(w.start for w in windows), max(w.end for w in windows))
        return whole.since(_history_start())


def _history_start() -> date:
    return date.fromisoformat(get_settings().history_start)


def today_anywhere() -> date:
    """The latest calendar date that has begun in some timezone (UTC+14)."""
    return (datetime.now(UTC) + timedelta(hours=14)).date()


def _timezones(database: Database, accounts: Sequence[str]) -> list[str]:
    with database.connect() as connection:
        rows = connection.execute(
            "select distinct timezone from control.ad_accounts"
            " where case when cardinality(%(only)s::text[]) = 0 then is_active"
            "   else account_id = any(%(only)s) end",
            {"only": list(accounts)},
        ).fetchall()
    return [row["timezone"] for row in rows]


def _date(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a date: expected YYYY-MM-DD, for instance 2026-11-20",
            param_hint=option,
        ) from error
