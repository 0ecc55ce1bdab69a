"""``meta-ads alerts``: what a person should know, and where it is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import labelled, plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control.alerts import OpenAlert, list_open_alerts

app = options.command_app("Open alerts, and where they are sent.")

_STYLES = {"critical": "red", "warning": "yellow", "info": "cyan"}


@app.command("list")
def list_alerts(as_json: options.AsJson = False) -> int:
    """Show the open alerts, the weightiest first; exit code 1 when one is critical."""
    with running(needs_api=False) as runtime:
        found = list_open_alerts(runtime.database)
    if as_json:
        typer.echo(json.dumps([_document(each) for each in found], indent=2))
    else:
        _print(found)
    return 1 if any(each.alert.severity == "critical" for each in found) else 0


@app.command("test")
def send_test() -> int:
    """Send a test message to every address of META_ADS_ALERT_URLS."""
    from apprise import NotifyType

    from meta_ads_pipeline.alerting.destinations import parse_destinations
    from meta_ads_pipeline.alerting.sender import Message, send
    from meta_ads_pipeline.settings import get_settings

    destinations = parse_destinations(get_settings().alert_urls or "")
    if not destinations:
        typer.echo("META_ADS_ALERT_URLS is not set: alerts are only logged and listed.")
        return 1
    message = Message(
        "[test] Meta ads pipeline", "Alerts of this pipeline arrive here.", NotifyType.INFO, []
    )
    errors = {destination.label: send(destination, message) for destination in destinations}
    for destination in destinations:
        error = errors[destination.label]
        typer.echo(f"{destination.label} ({destination.least} and worse): {error or 'sent'}")
    return 1 if any(errors.values()) else 0


@app.command()
def mute(
    kind: Annotated[str, typer.Argument(help="As `list` shows it.")],
    hours: Annotated[float, typer.Option(min=0, help="For how long; 0 ends it.")] = 24,
    subject: Annotated[str, typer.Option(help="Only of this subject; none: all.")] = "",
) -> int:
    """Send no notice of a kind of alert for some hours. It stays listed."""
    from meta_ads_pipeline.alerting import notices

    until = datetime.now(UTC) + timedelta(hours=hours)
    with running(needs_api=False) as runtime:
        notices.mute(runtime.database, kind, subject, until)
    about = f" of {subject}" if subject else ""
    typer.echo(f"{kind}{about}: nothing is sent until {until:%Y-%m-%d %H:%M} UTC.")
    return 0


def _print(found: Sequence[OpenAlert]) -> None:
    console = plain_console()
    if not found:
        console.print("No open alert.")
    for each in found:
        alert = each.alert
        console.print(labelled(str(alert.severity), alert.message, _STYLES[alert.severity]))
        console.print(f"  {alert.what_to_do}")
        since = f"{each.first_raised_at:%Y-%m-%d %H:%M} UTC"
        console.print(f"  {alert.kind}; {alert.subject}; since {since}")


def _document(each: OpenAlert) -> dict[str, object]:
    return {
        "kind": each.alert.kind,
        "subject": each.alert.subject,
        "severity": str(each.alert.severity),
        "message": each.alert.message,
        "what_to_do": each.alert.what_to_do,
        "since": each.first_raised_at.isoformat(),
        "times_raised": each.times_raised,
    }
