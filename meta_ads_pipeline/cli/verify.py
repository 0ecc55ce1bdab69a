"""``meta-ads verify``: whether the marts say what Ads Manager says."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import labelled, plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.verify.compare import (
    Difference,
    Verification,
    accounts_of,
    compare,
    described,
)
from meta_ads_pipeline.verify.export import AdsManagerFileError
from meta_ads_pipeline.verify.export_file import read_export

_ROWS_SHOWN = 50
_LEVEL_NAMES = {"account": "account", "campaign": "campaign", "adset": "ad set", "ad": "ad"}


app = options.command_app()


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
    as_json: options.AsJson = False,
) -> int:
    """Compare the marts with an export of Ads Manager; fail where they differ too much."""
    ids = options.account_ids([account] if account else None)
    try:
        share = parse_tolerance(tolerance)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--tolerance") from error
    with running(needs_api=False) as runtime:
        try:
            return run_verify(
                runtime.database,
                csv,
                account=next(iter(ids), None),
                tolerance=share,
                as_json=as_json,
            )
        except AdsManagerFileError as error:
            raise typer.BadParameter(f"{csv.name}: {error}", param_hint="--csv") from error


def parse_tolerance(text: str) -> Decimal:
    """A share from a percentage such as ``5%``, ``0.5 %`` or ``2,5%``.

    Raises ``ValueError`` saying what was expected.
    """
    match = re.fullmatch(r"(\d+(?:[.,]\d+)?)\s*%", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a percentage: expected one like 5% or 0.5%")
    return Decimal(match.group(1).replace(",", ".")) / 100


def run_verify(
    database: Database, path: Path, *, account: str | None, tolerance: Decimal, as_json: bool
) -> int:
    """Compare the export at ``path`` with the marts; return 0 when they agree, otherwise 1.

    Every account that the file names is compared, or ``account`` alone. Raises
    ``AdsManagerFileError`` when the file cannot be used.
    """
    export = read_export(path)
    accounts = accounts_of(database, export, account)
    found = [compare(database, export, each, tolerance) for each in accounts.synced]
    aligned = all(each.aligned for each in found) and not accounts.not_synced
    if as_json:
        documents = [each.as_json() for each in found]
        document: dict[str, object] = {"file": str(path), "aligned": aligned}
        if len(documents) == 1 and not accounts.not_synced:
            document |= documents[0]
        else:
            document |= {"accounts": documents, "not_synced": accounts.not_synced}
        typer.echo(json.dumps(document, indent=2, default=str))
        return 0 if aligned else 1
    console = plain_console()
    for each in found:
        print_verification(console, each)
    for name in accounts.not_synced:
        console.print(
            labelled("not compared", f"account {name} is not synced here", "red"), soft_wrap=True
        )
    return 0 if aligned else 1


def print_verification(console: Console, found: Verification) -> None:
    """Print differences, largest first, what is only on one side, notes, and one line in sum."""
    on_both_sides = [each for each in found.differences if each.only_in is None]
    elsewhere = {*found.only_in_file, *found.only_in_marts}
    partly = [
        each
        for each in found.differences
        if each.only_in and described(each.object_id, each.object_name) not in elsewhere
    ]
    _print_differences(console, [*on_both_sides, *partly])
    for title, objects in (
        ("Only in the file", found.only_in_file),
        ("Only in the marts", found.only_in_marts),
    ):
        if objects:
            names = [*objects[:_ROWS_SHOWN], *(["..."] if len(objects) > _ROWS_SHOWN else [])]
            console.print(f"{title} ({len(objects)}): {'; '.join(names)}", soft_wrap=True)
    for line in found.bad_lines[:_ROWS_SHOWN]:
        column = f", column {line.column!r}" if line.column else ""
        console.print(
            labelled("not read", f"line {line.line}{column}: {line.reason}", "red"),
            soft_wrap=True,
        )
    for note in found.notes:
        console.print(labelled("note", note, "yellow"), soft_wrap=True)
    console.print(summary(found), soft_wrap=True)


def summary(found: Verification) -> str:
    """The result in one line, for a person or a log."""
    beyond = len(found.beyond)
    within = len(found.differences) - beyond
    period = f"{found.start}" if found.start == found.end else f"{found.start} to {found.end}"
    totals = ", ".join(
        f"{measure} {total.our_value} against {total.file_value}"
        for measure, total in found.totals.items()
        if total.difference
    )
    parts = [_LEVEL_NAMES[found.level]]
    parts += ["day"] if found.by_day else []
    parts += ["hour"] if found.by_hour else []
    by = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    unread = f", {len(found.bad_lines)} lines not read" if found.bad_lines else ""
    counts = (
        f"{found.compared} values compared, {found.equal} equal, "
        f"{within} within {_percent(found.tolerance)}, {beyond} beyond{unread}"
    )
    return (
        f"{_verdict(found)}: account {found.account_id}, {period}, by {by}: {counts}; "
        f"totals {totals + ' in the file' if totals else 'equal'}"
    )


def _verdict(found: Verification) -> str:
    """``agrees`` only of what was compared line by line."""
    if not found.compared:
        return "NOTHING COMPARED"
    if not found.aligned:
        return "DIFFERS"
    return "agrees in sum" if found.lines_summed else "agrees"


def _print_differences(console: Console, differences: Sequence[Difference]) -> None:
    for each in sorted(differences, key=_worst_first)[:_ROWS_SHOWN]:
        console.print(_in_words(each), soft_wrap=True)
    if len(differences) > _ROWS_SHOWN:
        console.print(f"The largest {_ROWS_SHOWN} of {len(differences)}; --json has all of them.")


def _in_words(each: Difference) -> Text:
    """One line whatever the terminal's width: a cut number would be worth nothing."""
    verdict = ("within", "") if each.within_tolerance else ("beyond", "red")
    period = f"{each.start}" if each.start == each.end else f"{each.start} to {each.end}"
    if each.hour is not None:
        period += f" {each.hour:02}:00"
    file_value, our_value = (
        "nothing" if value is None else f"{value:f}" for value in (each.file_value, each.our_value)
    )
    relative = "" if each.relative is None else f", {_percent(each.relative)}"
    return Text.assemble(
        verdict,
        f": {described(each.object_id, each.object_name)}, {period}, ",
        (each.measure, "bold"),
        f": file {file_value}, ours {our_value} ({each.difference:+f}{relative})",
    )


def _worst_first(difference: Difference) -> tuple[bool, Decimal, str]:
    relative = Decimal("Infinity") if difference.relative is None else difference.relative
    return difference.within_tolerance, -relative, str(difference.start)


def _percent(share: Decimal) -> str:
    percent = f"{share * 100:.2f}".rstrip("0").rstrip(".")
    return f"{percent} %"
