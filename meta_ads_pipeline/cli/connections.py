"""``meta-ads connections``: the stored tokens and their encryption keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from cryptography.fernet import Fernet
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.console import plain_console, print_errors
from meta_ads_pipeline.cli.runtime import Runtime, running
from meta_ads_pipeline.credentials.checks import (
    AppCredentialsError,
    connections_in_use,
    validate_connection,
)
from meta_ads_pipeline.credentials.connection_accounts import active_accounts_of
from meta_ads_pipeline.credentials.connection_tokens import rotate_keys
from meta_ads_pipeline.credentials.connections import (
    Connection,
    find_connection,
    remove_connection,
)
from meta_ads_pipeline.credentials.renewal import (
    RenewalOutcome,
    RenewalReport,
    refresh_connection,
)
from meta_ads_pipeline.credentials.status import spoken
from meta_ads_pipeline.credentials.vault import KEYS_VARIABLE, TokenVault, VaultError
from meta_ads_pipeline.meta_api.errors import MetaApiError

_NO_RESPONSE = (MetaApiError, VaultError, AppCredentialsError)

app = options.command_app("The stored tokens and their encryption keys.")

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="NAME or WORKSPACE/NAME; none: all of them."),
]


@app.command("list")
def list_connections(as_json: options.AsJson = False) -> int:
    """Show every connection, how it stands, and its ad accounts."""
    with running(needs_api=False) as runtime:
        return run_list(runtime, as_json=as_json)


@app.command()
def validate(names: Names = None, as_json: options.AsJson = False) -> int:
    """Ask Meta about the tokens and read with them; exit code 1 when one cannot be used."""
    with running(needs_api=False) as runtime:
        return run_validate(runtime, names or (), as_json=as_json)


@app.command()
def refresh(names: Names = None, as_json: options.AsJson = False) -> int:
    """Renew the tokens now, due or not. The old one stays until the new one is proven."""
    with running(needs_api=False) as runtime:
        return run_refresh(runtime, names or (), as_json=as_json)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="NAME or WORKSPACE/NAME.")],
    yes: options.Yes = False,
) -> int:
    """Forget a connection and its token. Its accounts are no longer synced; their data stays."""
    with running(needs_api=False) as runtime:
        return run_remove(runtime, name, ask=not yes)


@app.command("make-key")
def make_key() -> int:
    """Print a new encryption key for META_ADS_ENCRYPTION_KEYS. It is stored nowhere."""
    typer.echo(Fernet.generate_key().decode())
    return 0


@app.command("rotate-keys")
def rotate() -> int:
    """Encrypt every stored token anew with the newest key."""
    with running(needs_api=False) as runtime:
        return run_rotate_keys(runtime)


def connection_document(connection: Connection) -> dict[str, Any]:
    """The connection as plain values, without its token."""
    facts = connection.facts
    return {
        "connection": connection.label,
        "connection_id": connection.connection_id,
        "source": "environment" if connection.from_environment else "stored",
        "status": str(connection.status),
        "status_reason": connection.status_reason,
        "token_type": facts.token_type,
        "scopes": list(facts.scopes),
        "app_id": facts.app_id,
        "issued_at": _iso(facts.issued_at),
        "expires_at": _iso(facts.expires_at),
        "data_access_expires_at": _iso(facts.data_access_expires_at),
        "last_validated_at": _iso(connection.last_validated_at),
        "refreshed_at": _iso(connection.refreshed_at),
    }


def run_list(runtime: Runtime, *, as_json: bool) -> int:
    """Print every connection with its ad accounts; returns the exit code."""
    connections = connections_in_use(runtime.database, runtime.settings)
    accounts = {
        each.connection_id: active_accounts_of(runtime.database, each.connection_id)
        for each in connections
    }
    if as_json:
        documents = [
            {**connection_document(each), "accounts": accounts[each.connection_id]}
            for each in connections
        ]
        typer.echo(json.dumps(documents, indent=2))
    elif connections:
        _print_connections(connections, accounts)
    else:
        typer.echo("no connection yet: `meta-ads connect` makes one")
    return 0


def run_validate(runtime: Runtime, names: Sequence[str], *, as_json: bool) -> int:
    """Validate the named connections, or all; returns 1 when one cannot be used."""
    found = []
    for connection in _chosen(runtime, names):
        current = connection
        try:
            current, _ = validate_connection(
                runtime.database, runtime.settings, connection, datetime.now(UTC)
            )
            good, message = current.status.usable, current.status_reason or ""
        except _NO_RESPONSE as error:
            good, message = False, str(error)
        found.append({**connection_document(current), "usable": good, "message": message})
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        for each in found:
            word = each["status"] if each["usable"] else f"not usable ({each['status']})"
            typer.echo(f"{each['connection']}: {word}{_after(each['message'])}")
    return 0 if all(each["usable"] for each in found) else 1


def run_refresh(runtime: Runtime, names: Sequence[str], *, as_json: bool) -> int:
    """Renew the named connections' tokens, or all; returns 1 when one could not be renewed."""
    reports: list[RenewalReport] = []
    database, settings = runtime.database, runtime.settings
    for connection in _chosen(runtime, names):
        now = datetime.now(UTC)
        try:
            # What Meta says now decides, not what was known at the last validation.
            current, _ = validate_connection(database, settings, connection, now)
            reports.append(refresh_connection(database, settings, current, now, force=True))
        except _NO_RESPONSE as error:
            reports.append(RenewalReport(connection, RenewalOutcome.FAILED, str(error)))
    if as_json:
        documents = [
            {
                **connection_document(report.connection),
                "outcome": str(report.outcome),
                "message": report.message,
            }
            for report in reports
        ]
        typer.echo(json.dumps(documents, indent=2))
    else:
        for report in reports:
            outcome = report.outcome.replace("_", " ")
            typer.echo(f"{report.connection.label}: {outcome}{_after(report.message)}")
    bad = {RenewalOutcome.FAILED, RenewalOutcome.NOT_POSSIBLE}
    return 1 if any(report.outcome in bad for report in reports) else 0


def run_remove(runtime: Runtime, name: str, *, ask: bool) -> int:
    """Remove a connection; with ``ask`` only if a person says yes. Returns the exit code."""
    connection = find_connection(runtime.database, name)
    if connection.from_environment and runtime.settings.access_token is not None:
        typer.echo("error: META_ACCESS_TOKEN makes this connection: unset it first", err=True)
        return 1
    count = len(active_accounts_of(runtime.database, connection.connection_id))
    if ask:
        typer.confirm(
            f"Remove {connection.label} and its token? {count} ad accounts are no longer synced",
            abort=True,
        )
    remove_connection(runtime.database, connection)
    typer.echo(
        f"removed {connection.label}; {count} ad accounts are no longer synced. Their data stays: "
        "`meta-ads accounts purge` deletes it"
    )
    return 0


def run_rotate_keys(runtime: Runtime) -> int:
    """Re-encrypt every stored token with the newest key; returns 1 when there is no newer one."""
    vault = TokenVault.from_settings(runtime.settings)
    if vault.source == KEYS_VARIABLE and vault.key_count() == 1:
        print_errors(
            f"nothing was rotated: {KEYS_VARIABLE} holds one key. Make a new one with `meta-ads "
            "connections make-key`, put it in front of the old one, separated by a comma, and run "
            "this command again"
        )
        return 1
    count = rotate_keys(runtime.database, vault)
    typer.echo(f"tokens encrypted with the newest key of {vault.source}: {count}")
    if vault.source == KEYS_VARIABLE:
        typer.echo(f"the older keys may now be taken out of {KEYS_VARIABLE}")
    return 0


def _chosen(runtime: Runtime, names: Sequence[str]) -> list[Connection]:
    in_use = connections_in_use(runtime.database, runtime.settings)
    return [find_connection(runtime.database, name) for name in names] if names else in_use


def _print_connections(connections: Sequence[Connection], accounts: dict[str, list[str]]) -> None:
    table = Table(header_style="bold")
    for heading in ("connection", "status", "token", "expires", "validated", "accounts"):
        table.add_column(heading)
    for each in connections:
        expires_at, validated_at = each.facts.expires_at, each.last_validated_at
        source = "META_ACCESS_TOKEN" if each.from_environment else "stored"
        kind = f", {each.facts.token_type.lower()}" if each.facts.token_type else ""
        table.add_row(
            each.label,
            f"{each.status}{_after(each.status_reason or '')}",
            f"{source}{kind}",
            spoken(expires_at) if expires_at else "never" if each.facts.issued_at else "not known",
            spoken(validated_at) if validated_at else "never",
            ", ".join(accounts[each.connection_id]) or "none",
        )
    plain_console().print(table)


def _after(message: str) -> str:
    return f": {message}" if message else ""


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant is not None else None
