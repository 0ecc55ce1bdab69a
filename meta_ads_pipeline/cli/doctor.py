"""``meta-ads doctor``: is everything in order, and if not, what to do."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.console import Console
from rich.text import Text

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.doctor_findings import Finding, Outcome, guarded
from meta_ads_pipeline.cli.doctor_meta import examine_meta
from meta_ads_pipeline.cli.doctor_platform import (
    examine_dagster,
    examine_database,
    examine_dbt,
    examine_disk,
    examine_keys,
    examine_partitions,
    examine_settings,
)
from meta_ads_pipeline.cli.doctor_webhooks import examine_webhooks
from meta_ads_pipeline.redaction import redact
from meta_ads_pipeline.settings import Settings, get_settings

app = options.command_app()


@app.command()
def doctor(as_json: options.AsJson = False) -> int:
    """Check credentials, accounts, limits, database, Dagster, dbt, disk; say what to do."""
    return run_doctor(get_settings(), plain_console(), as_json=as_json)


def diagnose(settings: Settings) -> list[Finding]:
    """Everything the doctor looks at. Takes about ten seconds and a handful of API calls."""
    database, is_current, findings = examine_database(settings)
    usable = database if is_current else None
    findings += guarded("settings", examine_settings)
    findings += guarded("encryption keys", lambda: examine_keys(settings, usable))
    findings += examine_meta(settings, usable)
    findings += guarded("webhooks", lambda: examine_webhooks(settings, usable))
    findings += guarded("dagster storage", lambda: examine_dagster(database))
    findings += guarded("partitions", lambda: examine_partitions(settings, usable))
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
        outcome = (str(each.outcome), _STYLES[each.outcome])
        said = f"  {each.check:{width}}  {redact(each.message)}"
        console.print(Text.assemble(outcome, said), soft_wrap=True)
        if each.what_to_do:
            console.print(f"{'':{width + 8}}-> {redact(each.what_to_do)}", soft_wrap=True)
