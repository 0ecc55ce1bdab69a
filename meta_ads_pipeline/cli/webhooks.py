"""``meta-ads webhooks``: what Meta announced, and whether the receiver works."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import requests
import typer
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control import webhook_events, webhook_subscriptions
from meta_ads_pipeline.control.accounts import active_accounts
from meta_ads_pipeline.control.webhook_events import StoredEvent
from meta_ads_pipeline.control.webhook_subscriptions import WebhookSubscription
from meta_ads_pipeline.credentials.clients import clients_for
from meta_ads_pipeline.credentials.webhook_accounts import subscribe_accounts, tell_of_refusals
from meta_ads_pipeline.errors import ConfigurationError
from meta_ads_pipeline.meta_api.subscriptions import AD_ACCOUNT_FIELDS
from meta_ads_pipeline.settings import Settings, get_settings

app = options.command_app("What Meta's webhooks announced, and whether the receiver works.")

_TIMEOUT_SECONDS = 10
_PATH = "/webhooks/meta"


class WebhookSettingError(ConfigurationError):
    """A setting is missing without which no webhook can be received."""


@app.command("list")
def list_events(
    status: Annotated[
        Literal["pending", "done", "kept", "failed"] | None,
        typer.Option(help="Only events of this status."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 20,
    as_json: options.AsJson = False,
) -> int:
    """Show the latest changes that Meta announced, each once, and what came of them."""
    with running(needs_api=False) as runtime:
        events = webhook_events.recent(runtime.database, status=status, limit=limit)
    if as_json:
        typer.echo(json.dumps([vars(event) for event in events], indent=2, default=str))
    elif events:
        plain_console().print(_table(events))
    else:
        typer.echo("No webhook was received. docs/meta-setup.md, step 4, says how to subscribe.")
    return 0


@app.command()
def replay(
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="[ID]...", help="As `list` shows them.")
    ] = None,
) -> int:
    """Have the objects of events read again: of these, or of all that failed."""
    with running(needs_api=False) as runtime:
        count = webhook_events.replay(runtime.database, ids or ())
    typer.echo(f"{count} events wait to be read; the sensor follow_webhooks reads them.")
    return 0


@app.command()
def subscribe(
    url: Annotated[str, typer.Option(help="The service as Meta reaches it: https://...")],
    field: Annotated[
        list[str] | None,
        typer.Option(help="Only these fields; may be repeated. None: all that Meta announces."),
    ] = None,
    account: options.Accounts = None,
) -> int:
    """Have Meta send the changes of the ad accounts to the service; safe to repeat.

    Without --account of all of them, also of those that appear later. The service must run: Meta
    tries the handshake at once. The token needs ads_management for this, for nothing else.
    """
    settings = get_settings()
    if settings.app_verify_token is None:
        raise WebhookSettingError("META_APP_VERIFY_TOKEN is not set: choose one, and restart serve")
    if not settings.app_id or settings.app_secret is None:
        raise WebhookSettingError(
            "META_APP_ID and META_APP_SECRET are not set (docs/meta-setup.md)"
        )
    chosen = options.account_ids(account)
    with running() as runtime, clients_for(runtime.settings, runtime.database) as clients:
        known = [each.account_id for each in active_accounts(runtime.database)]
        callback, now = url.rstrip("/") + _PATH, datetime.now(UTC)
        fields = tuple(field or AD_ACCOUNT_FIELDS)
        clients.first.client.subscribe_app(
            callback, settings.app_verify_token.get_secret_value(), fields
        )
        typer.echo(f"The app sends {', '.join(fields)} to {callback}")
        webhook_subscriptions.remember(
            runtime.database,
            WebhookSubscription(settings.app_id, callback, fields, not chosen, now),
        )
        failed = 0
        for account_id, reason in subscribe_accounts(
            runtime.database, clients, settings.app_id, chosen or known, now
        ):
            failed += reason is not None
            typer.echo(f"act_{account_id}: {reason or 'subscribed'}", err=reason is not None)
        tell_of_refusals(runtime.database, settings.app_id, now)
        if not chosen:
            typer.echo("Ad accounts that appear later are subscribed within the hour.")
    return 1 if failed else 0


@app.command("test")
def send_test(
    url: Annotated[
        str, typer.Option(help="The service, as Meta would reach it.")
    ] = "http://127.0.0.1:8000",
) -> int:
    """Do what Meta does: the handshake, a signed delivery, and one with a wrong signature."""
    settings = get_settings()
    results = [
        ("handshake", _handshake(settings, url), 200),
        ("signed delivery", _deliver(settings, url, is_signed=True), 200),
        ("wrong signature", _deliver(settings, url, is_signed=False), 403),
    ]
    for name, status, expected in results:
        verdict = "ok" if status == expected else f"FAILED, expected {expected}"
        typer.echo(f"{name:16} {status} {verdict}")
    return 0 if all(status == expected for _, status, expected in results) else 1


def _handshake(settings: Settings, url: str) -> int:
    if settings.app_verify_token is None:
        raise WebhookSettingError("META_APP_VERIFY_TOKEN is not set: choose one, and tell Meta")
    response = requests.get(
        url + _PATH,
        params={
            "hub.mode": "subscribe",
            "hub.challenge": "1158201444",
            "hub.verify_token": settings.app_verify_token.get_secret_value(),
        },
        timeout=_TIMEOUT_SECONDS,
    )
    if response.status_code == 200 and response.text != "1158201444":
        return 0  # something else answers there
    return response.status_code


def _deliver(settings: Settings, url: str, *, is_signed: bool) -> int:
    """Meta's own test payload: of account 0, so that nothing is read again."""
    if settings.app_secret is None:
        raise WebhookSettingError("META_APP_SECRET is not set: a delivery cannot be proven")
    value = {"id": "111111111111", "level": "AD", "error_code": "567"}
    change = {"field": "with_issues_ad_objects", "value": value}
    entry = {"id": "0", "time": int(time.time()), "changes": [change]}
    body = json.dumps([{"object": "ad_account", "entry": [entry]}]).encode()
    key = settings.app_secret.get_secret_value() if is_signed else "another secret"
    digest = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={digest}"}
    return requests.post(
        url + _PATH, data=body, headers=headers, timeout=_TIMEOUT_SECONDS
    ).status_code


def _table(events: Sequence[StoredEvent]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "received (UTC)", "account", "field", "object", "status", "times", "reason"):
        table.add_column(name)
    for event in events:
        target = " ".join(filter(None, (event.object_level, event.object_id)))
        table.add_row(
            str(event.webhook_event_id),
            f"{event.first_received_at:%Y-%m-%d %H:%M:%S}",
            event.account_id or "",
            event.field or "",
            target,
            event.status,
            str(event.deliveries),
            event.reason or "",
        )
    return table
