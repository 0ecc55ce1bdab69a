"""``meta-ads retention``: for how long everything is kept, and keeping it now."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import typer
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.settings import Settings, get_settings

app = options.command_app("For how long rows, records of runs and logs are kept.")


@app.command("list")
def list_rules(as_json: options.AsJson = False) -> int:
    """Show each retention and the setting that changes it."""
    from meta_ads_pipeline.retention.tables import RULES

    settings = get_settings()
    rows = [
        *((rule.table, _days(rule.days(settings)), _variable(rule.setting)) for rule in RULES),
        ("finished runs", _days(settings.retention_runs_days), _variable("retention_runs_days")),
        (
            "log files",
            f"{settings.retention_log_megabytes} MB",
            _variable("retention_log_megabytes"),
        ),
    ]
    if as_json:
        names = ("what", "kept", "setting")
        typer.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
        return 0
    table = Table("what", "kept", "setting", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    plain_console().print(table)
    return 0


@app.command("run")
def run_now() -> int:
    """Delete now what the daily job (03:17 UTC) would delete; safe to repeat."""
    import dagster as dg

    from meta_ads_pipeline.retention.keep import keep_retentions

    with running(needs_api=False) as runtime, dg.DagsterInstance.get() as instance:
        kept = keep_retentions(runtime.database, instance, runtime.settings, datetime.now(UTC))
    for each in kept:
        typer.echo(f"{each.what:28} {each.error or f'{each.deleted:,} deleted'}")
    return 1 if any(each.error for each in kept) else 0


def _days(days: int | None) -> str:
    return "always" if days is None else f"{days} days"


def _variable(field: str) -> str:
    return str(Settings.model_fields[field].alias)
