"""``meta-ads doctor``: is everything in order, and if not, what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

import typer
from rich.console import Console
from rich.markup import escape

from meta_ads_pipeline.meta_api.redaction import redact
from meta_ads_pipeline.settings import Settings


class Outcome(StrEnum):
    """How a check came out."""

    PASS = "pass"  # noqa: S105
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; ``what_to_do`` is empty where nothing is to be done."""

    check: str
    outcome: Outcome
    message: str
    what_to_do: str = ""


def passed(check: str, message: str) -> Finding:
    """A line that says that all is well."""
    return Finding(check, Outcome.PASS, message)


def warned(check: str, message: str, what_to_do: str) -> Finding:
    """A line about what works, but should not stay as it is."""
    return Finding(check, Outcome.WARN, message, what_to_do)


def failed(check: str, message: str, what_to_do: str) -> Finding:
    """A line about what does not work."""
    return Finding(check, Outcome.FAIL, message, what_to_do)


def guarded(check: str, examine: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The check's findings; a check that breaks down is itself a failed finding."""
    try:
        return list(examine())
    except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
        return [
            failed(
                check,
                f"the check broke down: {type(error).__name__}: {redact(error)}",
                "Run the command again; if it stays, please report it",
            )
        ]


def diagnose(settings: Settings) -> list[Finding]:
    """Everything the doctor looks at. Takes about ten seconds and a handful of API calls."""
    from meta_ads_pipeline.cli.doctor_meta import examine_meta
    from meta_ads_pipeline.cli.doctor_platform import (
        examine_dagster,
        examine_database,
        examine_dbt,
        examine_disk,
        examine_keys,
    )

    database, is_current, findings = examine_database(settings)
    usable = database if is_current else None
    findings += guarded("encryption keys", lambda: examine_keys(settings, usable))
    findings += examine_meta(settings, usable)
    findings += guarded("dagster storage", lambda: examine_dagster(database))
    findings += guarded("dbt", lambda: examine_dbt(database))
    findings += guarded("disk", lambda: examine_disk(settings))
    if database is not None:
        database.dispose()
    return findings


def run_doctor(settings: Settings, console: Console, *, as_json: bool) -> int:
    """Print the findings; returns 1 when one failed, else 0."""
    findings = diagnose(settings)
    worst = Outcome.PASS
    for outcome in (Outcome.WARN, Outcome.FAIL):
        if any(each.outcome is outcome for each in findings):
            worst = outcome
    if as_json:
        document = {"outcome": str(worst), "checks": [asdict(each) for each in findings]}
        typer.echo(redact(json.dumps(document, indent=2)))
    else:
        _print(console, findings)
    return 1 if worst is Outcome.FAIL else 0


_STYLES = {Outcome.PASS: "green", Outcome.WARN: "yellow", Outcome.FAIL: "red"}


def _print(console: Console, findings: list[Finding]) -> None:
    width = max(len(each.check) for each in findings)
    for each in findings:
        console.print(
            f"[{_STYLES[each.outcome]}]{each.outcome}[/]  {escape(each.check):{width}}  "
            f"{escape(redact(each.message))}",
            soft_wrap=True,
        )
        if each.what_to_do:
            console.print(f"{'':{width + 8}}-> {escape(redact(each.what_to_do))}", soft_wrap=True)
