"""``meta-ads connect``: store a token, encrypted, and choose the ad accounts to sync with it.

The token comes from a prompt that does not show it, from standard input or from the environment:
never from an argument, which other users see and the shell's history keeps.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.connections import connection_document
from meta_ads_pipeline.cli.console import plain_console
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control.accounts import Account, UnknownAccountError
from meta_ads_pipeline.control.alerts import close_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.brief_budget import brief_budget
from meta_ads_pipeline.credentials.checks import (
    Inspection,
    brief_client,
    inspect,
    update_state_alerts,
    with_accounts,
)
from meta_ads_pipeline.credentials.connection_accounts import (
    active_accounts_of,
    choose_accounts,
    refuse_taken_accounts,
)
from meta_ads_pipeline.credentials.connections import (
    DEFAULT_WORKSPACE,
    Connection,
    TokenFacts,
    save_connection,
)
from meta_ads_pipeline.credentials.status import spoken
from meta_ads_pipeline.credentials.vault import TokenVault
from meta_ads_pipeline.errors import CredentialsError
from meta_ads_pipeline.meta_api.paging import Listing
from meta_ads_pipeline.meta_api.rate_limiter import RateLimiter
from meta_ads_pipeline.settings import Settings

app = options.command_app()

DEFAULT_NAME = "main"
_LONG_LIVED = timedelta(days=30)  # a person's token that ends sooner is exchanged at once


class ConnectError(CredentialsError):
    """The token cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class ConnectRequest:
    """What was asked for. ``accounts`` are ids; empty and not ``everything``: ask the person."""

    workspace: str = DEFAULT_WORKSPACE
    name: str = DEFAULT_NAME
    accounts: Sequence[str] = ()
    everything: bool = False
    exchange: bool = True


# Whatever else is typed after `connect` may be a token, which must not be quoted back.
@app.command(context_settings={"allow_extra_args": True})
def connect(
    context: typer.Context,
    workspace: Annotated[str, typer.Option(help="Whose it is; made if new.")] = DEFAULT_WORKSPACE,
    name: Annotated[
        str, typer.Option(help="Name of the connection in its workspace.")
    ] = DEFAULT_NAME,
    account: options.Accounts = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every ad account, and those that come later.")
    ] = False,
    exchange: Annotated[
        bool, typer.Option(help="Exchange a short-lived token for a long-lived one.")
    ] = True,
    as_json: options.AsJson = False,
) -> int:
    """Store a Meta access token, encrypted, and choose the ad accounts to sync with it.

    The token is asked for without being shown, read from standard input where that is not a
    terminal, or taken from META_ACCESS_TOKEN: never from an argument.
    """
    if context.args:
        raise typer.BadParameter(
            "a token is never given as an argument: other users see it and the shell's history "
            "keeps it. Revoke it if it was a real one; then paste a new one at the prompt or pipe "
            "it in"
        )
    if account and everything:
        raise typer.BadParameter("give --account or --all, not both")
    for label, value in (("--workspace", workspace), ("--name", name)):
        if not value.strip() or "/" in value:
            raise typer.BadParameter("expected a name without a slash", param_hint=label)
    ids = options.account_ids(account)
    request = ConnectRequest(workspace, name, tuple(ids), everything, exchange)
    with running(needs_api=False) as runtime:
        token = obtain_token(runtime.settings)
        return run_connect(
            runtime.settings, runtime.database, token, request, plain_console(), as_json=as_json
        )


def obtain_token(settings: Settings) -> SecretStr:
    """The token: asked for on a terminal, else read from standard input, else the environment's.

    Raises ``ConnectError`` when there is none.
    """
    if sys.stdin.isatty():
        text = typer.prompt("Access token (not shown)", hide_input=True)
    else:
        text = sys.stdin.read()
    words = text.split()
    if len(words) > 1:
        raise ConnectError("expected one access token and nothing else on standard input")
    if words:
        return SecretStr(words[0])
    if settings.access_token is None:
        raise ConnectError(
            "no access token: paste it at the prompt, pipe it in "
            "(`meta-ads connect --all < token-file`), or set META_ACCESS_TOKEN"
        )
    return settings.access_token


def run_connect(
    settings: Settings,
    database: Database,
    token: SecretStr,
    request: ConnectRequest,
    console: Console,
    *,
    as_json: bool = False,
) -> int:
    """Validate, exchange, choose accounts, store; prints what was done. Returns the exit code.

    Raises ``ConnectError``, ``MetaApiError``, ``UnknownAccountError``, ``VaultError`` or
    ``ConnectionInUseError``; then nothing is stored.
    """
    now = datetime.now(UTC)
    with brief_budget(settings, database) as rate_limiter:
        found = _usable(inspect(settings, token, now, rate_limiter=rate_limiter))
        notes = _notes(settings, found)
        if request.exchange and _worth_exchanging(settings, found):
            token, found = _exchanged(settings, token, found, now, rate_limiter)
            notes.append("exchanged for a long-lived token")
        found = with_accounts(settings, token, found, request.accounts, rate_limiter)
    readable = [_account(document) for document in found.accounts if document.get("currency")]
    incomplete = _incomplete(found.accounts)
    if not readable:
        raise ConnectError(
            incomplete
            or "the token works but reads no ad account: assign ad accounts to its user or system "
            "user in Business settings, then connect again"
        )
    if incomplete:
        notes.append(incomplete)
    chosen = choose(request, readable, _ask if sys.stdin.isatty() else None, console)
    refuse_taken_accounts(database, request.workspace, chosen)
    connection = save_connection(
        database,
        TokenVault.from_settings(settings),
        workspace=request.workspace,
        name=request.name,
        token=token,
        facts=found.facts,
        status=found.verdict.status,
        reason=found.verdict.reason,
        reads_all_accounts=len(chosen) == len(readable) and not request.accounts,
        now=now,
    )
    others = [account for account in readable if account not in chosen]
    choose_accounts(database, connection, chosen, others)
    synced = set(active_accounts_of(database, connection.connection_id))
    kept = [account for account in others if account.account_id in synced]
    others = [account for account in others if account not in kept]
    if kept:
        notes.append(
            "still synced with this connection: "
            + ", ".join(f"{account.account_id} ({account.name})" for account in kept)
            + "; `meta-ads accounts stop` ends that"
        )
    close_alerts(database, connection.subject, now=now)
    update_state_alerts(database, settings, connection, now)
    if as_json:
        typer.echo(json.dumps(_document(connection, chosen, others, notes), indent=2))
    else:
        _print(console, connection, chosen, others, notes)
    return 0


def choose(
    request: ConnectRequest,
    readable: Sequence[Account],
    ask: Callable[[], str] | None,
    console: Console,
) -> list[Account]:
    """The accounts to sync. ``ask`` gets a person's answer; None when nobody is there to ask.

    Raises ``UnknownAccountError`` on an account that the token does not read, ``ConnectError`` on
    an answer that names none.
    """
    known = {account.account_id: account for account in readable}
    if request.everything:
        return list(readable)
    if request.accounts:
        unknown = [account for account in request.accounts if account not in known]
        if unknown:
            raise UnknownAccountError(unknown, {key: a.name for key, a in known.items()})
        return [account for key, account in known.items() if key in request.accounts]
    if len(readable) == 1:
        return list(readable)
    if ask is None:
        listed = ", ".join(f"{a.account_id} ({a.name})" for a in readable)
        raise ConnectError(
            f"the token reads {len(readable)} ad accounts: {listed}. Choose with --account, which "
            "may be repeated, or take all with --all"
        )
    console.print(_account_table(readable, numbered=True))
    answer = ask().replace(",", " ").split()
    if [word.lower() for word in answer] == ["all"]:
        return list(readable)
    numbers = {str(number): account for number, account in enumerate(readable, 1)}
    picked = [numbers.get(word) or known.get(word.removeprefix("act_")) for word in answer]
    if not picked or None in picked:
        raise ConnectError(
            "expected numbers of the list, account ids, or `all`; nothing was stored"
        )
    return [account for account in readable if account in picked]


def _ask() -> str:
    return str(typer.prompt("Which to sync (numbers, or all)", default="all"))


def _usable(found: Inspection) -> Inspection:
    if found.verdict.status.usable:
        return found
    scopes = ", ".join(found.facts.scopes) or "none"
    raise ConnectError(
        {
            "missing_scope": f"the token lacks a permission: {found.verdict.reason}; granted: "
            f"{scopes}. Make one with ads_read, for a user to whom the ad accounts are assigned",
        }.get(
            str(found.verdict.status),
            f"the token cannot be used: {found.verdict.reason}. Make a new one; a system user's "
            "token (Business settings > System users) need not expire",
        )
    )


def _worth_exchanging(settings: Settings, found: Inspection) -> bool:
    expires_at = found.facts.expires_at
    return (
        settings.app_id is not None
        and settings.app_secret is not None
        and not found.of_other_app
        and found.facts.token_type == "USER"  # noqa: S105 - Meta's word for a kind of token
        and expires_at is not None
        and expires_at - datetime.now(UTC) < _LONG_LIVED
    )


def _exchanged(
    settings: Settings,
    token: SecretStr,
    found: Inspection,
    now: datetime,
    rate_limiter: RateLimiter | None,
) -> tuple[SecretStr, Inspection]:
    with brief_client(
        settings, token, app_id=found.facts.app_id, rate_limiter=rate_limiter
    ) as client:
        new = SecretStr(client.exchange_token().access_token)
    return new, _usable(inspect(settings, new, now, known=found.facts, rate_limiter=rate_limiter))


def _notes(settings: Settings, found: Inspection) -> list[str]:
    """What a person should know about this token."""
    facts: TokenFacts = found.facts
    notes = []
    if found.of_other_app:
        notes.append(
            "the token is of another app than META_APP_ID: calls are not signed "
            "(appsecret_proof) and it cannot be renewed"
        )
    if settings.app_id is None or settings.app_secret is None:
        notes.append(
            "without META_APP_ID and META_APP_SECRET calls are not signed and the token is not "
            "renewed by itself"
        )
    if facts.expires_at is None and facts.issued_at is None:
        notes.append("Meta did not tell when it expires: it takes app credentials to ask")
    return notes


def _incomplete(listing: Listing) -> str | None:
    if listing.ended_early is None:
        return None
    return (
        f"Meta did not give the list of ad accounts to its end, {len(listing)} are known; others "
        f"can be named with --account. {listing.ended_early}"
    )


def _account(document: dict[str, Any]) -> Account:
    status = document.get("account_status")
    return Account(
        account_id=str(document.get("account_id") or document["id"]).removeprefix("act_"),
        timezone=str(document.get("timezone_name") or "UTC"),
        currency=str(document["currency"]),
        name=document.get("name"),
        account_status=None if status is None else int(status),
    )


def _account_table(accounts: Sequence[Account], *, numbered: bool = False) -> Table:
    table = Table(header_style="bold")
    for heading in (["#"] if numbered else []) + ["account", "name", "currency", "timezone"]:
        table.add_column(heading)
    for number, account in enumerate(accounts, 1):
        cells = [account.account_id, account.name or "", account.currency, account.timezone]
        table.add_row(*([str(number), *cells] if numbered else cells))
    return table


def _print(
    console: Console,
    connection: Connection,
    chosen: Sequence[Account],
    others: Sequence[Account],
    notes: Sequence[str],
) -> None:
    facts = connection.facts
    never = "without end" if facts.issued_at else "end not known"
    until = f"until {spoken(facts.expires_at)}" if facts.expires_at else never
    console.print(
        f"connected {connection.label}: {(facts.token_type or 'token').lower()} token, {until}, "
        f"{connection.status}"
    )
    for note in notes:
        console.print(f"  note: {note}", soft_wrap=True)
    console.print(_account_table(chosen))
    if others:
        console.print(f"{len(others)} more that it reads are not synced")
    console.print("next: meta-ads sync --preset last_7d")


def _document(
    connection: Connection,
    chosen: Sequence[Account],
    others: Sequence[Account],
    notes: Sequence[str],
) -> dict[str, Any]:
    return {
        **connection_document(connection),
        "accounts": [account.account_id for account in chosen],
        "not_synced": [account.account_id for account in others],
        "notes": list(notes),
    }
