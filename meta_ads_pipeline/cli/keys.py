"""``meta-ads keys``: API keys of the HTTP service."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control import api_keys
from meta_ads_pipeline.control.api_keys import ApiKey

app = options.command_app("API keys of the HTTP service.")

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "y": timedelta(days=365)}


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for, as people will read it.")],
    workspace: Annotated[str, typer.Option(help="The workspace it opens.")] = "default",
    member: Annotated[
        str, typer.Option(help="Whose key it is: a person or program, made if new.")
    ] = "owner",
    role: Annotated[
        str | None,
        typer.Option(help=f"Of the member: {', '.join(api_keys.ROLES)}. A new one is a viewer."),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"Of {', '.join(api_keys.SCOPES)}; may be repeated. None: the role's."),
    ] = None,
    expires: Annotated[str, typer.Option(metavar="TIME", help="12h, 90d, 1y, or never.")] = "1y",
    as_json: options.AsJson = False,
) -> int:
    """Make a key and print it, this once: it is stored nowhere."""
    lifetime = _lifetime(expires)
    with running(needs_api=False) as runtime:
        text, key = api_keys.create_key(
            runtime.database,
            workspace=workspace,
            member=member,
            name=name,
            role=role,
            scopes=scope,
            lifetime=lifetime,
        )
    if as_json:
        typer.echo(json.dumps({"key": text, **asdict(key)}, indent=2, default=str))
    else:
        typer.echo(text)
        until = f"until {key.expires_at:%Y-%m-%d}" if key.expires_at else "until it is revoked"
        typer.echo(
            f"{', '.join(key.scopes)} in workspace {key.workspace}, {until}. "
            "It is shown this once; send it as: Authorization: Bearer KEY",
            err=True,
        )
    return 0


@app.command("list")
def list_keys(
    workspace: Annotated[str | None, typer.Option(help="Only this workspace's.")] = None,
    as_json: options.AsJson = False,
) -> int:
    """Show every key by its beginning: whose, for what, until when, last used."""
    with running(needs_api=False) as runtime:
        keys = api_keys.list_keys(runtime.database, workspace)
    if as_json:
        typer.echo(json.dumps([asdict(key) for key in keys], indent=2, default=str))
    elif keys:
        plain_console().print(_table(keys))
    else:
        typer.echo("no key yet: `meta-ads keys create NAME` makes one")
    return 0


@app.command()
def revoke(
    prefix: Annotated[str, typer.Argument(help="The key's beginning, as `list` shows it.")],
) -> int:
    """Have a key refused from now on."""
    with running(needs_api=False) as runtime:
        key = api_keys.revoke_key(runtime.database, prefix)
    typer.echo(f"{key.prefix} ({key.name}, {key.member}) is refused from now on")
    return 0


def _table(keys: list[ApiKey]) -> Table:
    headings = ("key", "name", "workspace", "member", "scopes", "created", "last used", "usable")
    table = Table(*headings, header_style="bold")
    for key in keys:
        table.add_row(
            f"{key.prefix}_...",
            key.name,
            key.workspace,
            f"{key.member} ({key.role})",
            ", ".join(sorted(key.allowed)) or "none",
            f"{key.created_at:%Y-%m-%d}",
            f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never",
            _usable(key),
        )
    return table


def _usable(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    if key.expires_at is None:
        return "until revoked"
    has_ended = key.expires_at <= datetime.now(UTC)
    return f"{'ended' if has_ended else 'until'} {key.expires_at:%Y-%m-%d}"


def _lifetime(text: str) -> timedelta | None:
    if text == "never":
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})([hdy])", text)
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is no time: expected 12h, 90d, 1y or never", param_hint="--expires"
        )
    return int(match[1]) * _UNITS[match[2]]
