"""The doctor's checks of Meta: reachability, clock, version, credentials, accounts, limits."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from functools import partial

import requests
from pydantic import SecretStr

from meta_ads_pipeline.cli.doctor_findings import Finding, failed, guarded, passed, warned
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.brief_budget import brief_budget
from meta_ads_pipeline.credentials.checks import (
    AppCredentialsError,
    Inspection,
    brief_client,
    connections_in_use,
    inspect,
    token_of,
    validate_connection,
    with_accounts,
)
from meta_ads_pipeline.credentials.connection_accounts import active_accounts_of
from meta_ads_pipeline.credentials.connections import Connection, register_environment
from meta_ads_pipeline.credentials.status import (
    days_stage,
    reconnect_command,
    refuses_account,
    spoken,
    why_not_renewable,
)
from meta_ads_pipeline.credentials.vault import VaultError
from meta_ads_pipeline.meta_api.calls import CallRecord
from meta_ads_pipeline.meta_api.error_rules import ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.rate_limiter import RateLimiter
from meta_ads_pipeline.meta_api.session import describe_network_error
from meta_ads_pipeline.meta_api.usage import Usage, UseCase
from meta_ads_pipeline.meta_api.versions import LATEST, known_version, version_number
from meta_ads_pipeline.settings import Settings

_TIMEOUT = (5.0, 15.0)
_SKEW_WARN, _SKEW_FAIL = 30.0, 300.0  # seconds
_VERSION_WARN_DAYS = 90
_BUSY_PERCENT = 75.0
_MOST_ACCOUNTS_READ = 25
"""Each costs a call that somebody waits for; a sync finds out about the others."""

ACCOUNT_STATUSES = {
    1: "active",
    2: "disabled",
    3: "unsettled: a payment is due",
    7: "pending risk review",
    8: "pending settlement",
    9: "in grace period: a payment is due",
    100: "pending closure",
    101: "closed",
}


def examine_meta(settings: Settings, database: Database | None) -> list[Finding]:
    """Everything about Meta. ``database`` None: only the token of the environment is looked at."""
    if database:
        register_environment(database, settings)
    connections = connections_in_use(database, settings) if database else []
    findings = guarded("api version", lambda: examine_version(settings, datetime.now(UTC).date()))
    if settings.uses_simulator and not connections:
        return [
            passed("credentials", "none: the simulator stands in for Meta (`meta-ads connect`)"),
            *findings,
        ]
    findings += guarded("graph api", lambda: examine_host(settings))
    findings += guarded("app credentials", lambda: examine_app(settings))
    for connection in connections:
        examine = partial(examine_connection, settings, database, connection)
        findings += guarded(connection.label, examine)
    if settings.access_token is not None and database is None:
        findings += guarded("META_ACCESS_TOKEN", lambda: examine_bare_token(settings))
    if not connections and settings.access_token is None:
        findings.append(
            failed("credentials", "no access token", "`meta-ads connect`, or set META_ACCESS_TOKEN")
        )
    return findings


def examine_version(settings: Settings, today: date) -> Iterable[Finding]:
    """Whether META_API_VERSION is alive, and for how long."""
    check, name = "api version", settings.api_version
    what = f"Set META_API_VERSION to {LATEST.name} (and read its changelog)"
    version = known_version(name)
    if version is None and version_number(name) > version_number(LATEST.name):
        yield warned(check, f"{name} is newer than this release knows", "Look for a newer release")
        return
    if version is None:
        yield failed(check, f"{name} was switched off long ago", what)
        return
    left = (version.ends - today).days
    when = str(version.ends)
    if version.is_estimate:
        when = f"about {when} (estimated: a year after its release)"
    if left <= 0 and not version.is_estimate:
        yield failed(check, f"{name} was switched off on {when}", what)
    elif left <= _VERSION_WARN_DAYS:
        on = "" if version.is_estimate else "on "
        yield warned(check, f"{name} is switched off {on}{when}", what)
    else:
        yield passed(check, f"{name}, alive until {when}")


def examine_host(settings: Settings) -> Iterable[Finding]:
    """Whether the Graph API answers, how fast, and how far the clocks are apart."""
    started, before = time.perf_counter(), datetime.now(UTC)
    try:
        # Without a token this is refused, which is an answer: its Date header is what counts.
        response = requests.get(
            f"{settings.graph_url}/{settings.api_version}/me",
            timeout=_TIMEOUT,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        yield failed(
            "graph api",
            f"{settings.graph_url}: {describe_network_error(error, _TIMEOUT)}",
            "Check the network, a proxy (HTTPS_PROXY) and META_GRAPH_URL",
        )
        return
    elapsed = time.perf_counter() - started
    yield passed("graph api", f"{settings.graph_url} answers in {elapsed * 1000:.0f} ms")
    try:
        there = parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError):
        yield warned("clock", "the answer has no date to compare with", "Check META_GRAPH_URL")
        return
    # The header is in whole seconds and was written somewhere on the way.
    skew = (there - before).total_seconds() - elapsed / 2
    skew = max(0.0, abs(skew) - 1.0)
    message, what = f"{skew:.0f} s apart from Meta's", "Synchronize this machine's clock (NTP)"
    if skew >= _SKEW_FAIL:
        yield failed("clock", message, what)
    elif skew >= _SKEW_WARN:
        yield warned("clock", message, what)
    else:
        yield passed("clock", f"less than {max(2.0, skew + 1):.0f} s apart from Meta's")


def examine_app(settings: Settings) -> Iterable[Finding]:
    """Whether there are app credentials; whether they are right shows with the tokens."""
    check = "app credentials"
    what = "Set META_APP_ID and META_APP_SECRET (App dashboard > Settings > Basic)"
    if settings.app_id and settings.app_secret:
        yield passed(check, f"app {settings.app_id}: calls are signed, tokens can be renewed")
    elif settings.app_secret:
        yield warned(check, "META_APP_SECRET without META_APP_ID: tokens cannot be renewed", what)
    elif settings.app_id:
        yield warned(check, "META_APP_ID without META_APP_SECRET: calls are not signed", what)
    else:
        yield warned(check, "none: calls are not signed, tokens cannot be renewed", what)


def examine_connection(
    settings: Settings, database: Database | None, connection: Connection
) -> Iterable[Finding]:
    """Token, permissions, dates, ad accounts and limits of one connection."""
    assert database is not None
    label, again = connection.label, reconnect_command(connection)
    try:
        current, found = validate_connection(database, settings, connection, datetime.now(UTC))
        token = token_of(database, settings, current)
        wanted = (
            list(settings.ad_account_ids)
            if current.from_environment
            else active_accounts_of(database, current.connection_id)
        )
        with brief_budget(settings, database, current) as rate_limiter:
            found = with_accounts(settings, token, found, wanted, rate_limiter)
    except AppCredentialsError as error:
        yield failed("app credentials", str(error), "Correct META_APP_ID and META_APP_SECRET")
        return
    except (VaultError, MetaApiError) as error:
        if isinstance(error, MetaApiError) and error.kind is ErrorKind.RATE_LIMIT:
            yield _limit_reached(f"{label} rate limit", error)
            return
        yield failed(f"{label} token", str(error), _sentence(again))
        return
    obstacle = why_not_renewable(current, settings) if current.status.usable else again
    yield from examine_token(label, found, obstacle, again)
    if current.status.usable:
        yield from examine_accounts(label, found, wanted)
        with brief_budget(settings, database, current) as rate_limiter:
            yield from examine_reads(settings, label, token, found, wanted, rate_limiter)


def examine_bare_token(settings: Settings) -> Iterable[Finding]:
    """META_ACCESS_TOKEN, without the database."""
    assert settings.access_token is not None
    label, again = "META_ACCESS_TOKEN", "set META_ACCESS_TOKEN to a new token"
    wanted = list(settings.ad_account_ids)
    try:
        found = inspect(settings, settings.access_token, datetime.now(UTC))
        found = with_accounts(settings, settings.access_token, found, wanted)
    except AppCredentialsError as error:
        yield failed("app credentials", str(error), "Correct META_APP_ID and META_APP_SECRET")
        return
    except MetaApiError as error:
        yield failed(f"{label} token", str(error), _sentence(again))
        return
    yield from examine_token(label, found, again, again)
    if found.verdict.status.usable:
        yield from examine_accounts(label, found, wanted)
        yield from examine_reads(settings, label, settings.access_token, found, wanted)


def examine_token(
    label: str, found: Inspection, obstacle: str | None, again: str
) -> Iterable[Finding]:
    """Validity, permissions and dates. ``obstacle`` is what keeps it from being renewed."""
    facts, verdict, now = found.facts, found.verdict, datetime.now(UTC)
    kind = (facts.token_type or "token of unknown type").lower().replace("_", " ")
    if not verdict.status.usable:
        yield failed(f"{label} token", f"{verdict.status}: {verdict.reason}", _sentence(again))
        return
    yield passed(f"{label} token", f"valid ({kind})")
    if found.of_other_app:
        yield warned(
            f"{label} app",
            f"the token is of {facts.app_id or 'another app'}, not of META_APP_ID: calls are not "
            "signed and it cannot be renewed",
            "Set META_APP_ID and META_APP_SECRET of its app, or connect with a token of this one",
        )
    yield passed(f"{label} scopes", ", ".join(facts.scopes))
    told = facts.issued_at is not None or facts.expires_at is not None
    ends = (
        ("expiry", facts.expires_at, obstacle or "Nothing yet: it is renewed by itself"),
        (
            "data access",
            facts.data_access_expires_at,
            f"Renewing does not prolong it: log in to the app again, then {again}",
        ),
    )
    for what, end, fix in ends:
        check = f"{label} {what}"
        if end is None:
            yield passed(check, "never" if told else "not told; it takes app credentials to ask")
        elif days_stage(end, now) is not None:
            yield warned(check, f"ends on {spoken(end)}", _sentence(fix))
        else:
            yield passed(check, f"ends on {spoken(end)}, in {(end - now).days} days")


def examine_accounts(label: str, found: Inspection, wanted: list[str]) -> Iterable[Finding]:
    """Whether every ad account to sync is read, and whether it is active at Meta."""
    check = f"{label} accounts"
    documents = {str(document.get("account_id")): document for document in found.accounts}
    ids = wanted or sorted(documents)
    if found.accounts.ended_early is not None:
        yield warned(
            check,
            f"Meta did not give the list to its end, {len(documents)} are known: "
            f"{found.accounts.ended_early}",
            "Name the others: `meta-ads connect --account`, or META_AD_ACCOUNT_IDS",
        )
    elif not ids:
        yield failed(
            check,
            "the token reads no ad account",
            "Assign ad accounts to its user or system user in Business settings",
        )
    if not ids:
        return
    active = 0
    for account_id in ids:
        document = documents.get(account_id)
        if document is None:
            yield failed(
                check,
                f"act_{account_id} is not among those the token reads",
                "Assign it to the token's user in Business settings, or stop syncing it",
            )
            continue
        status = int(document.get("account_status") or 1)
        active += status == 1
        if status != 1:
            words = ACCOUNT_STATUSES.get(status, f"status {status}")
            yield warned(
                check,
                f"act_{account_id} ({document.get('name')}) is {words}",
                "Its history can still be read; see the account in Ads Manager for the reason",
            )
    yield passed(check, f"{active} of {len(ids)} ad accounts are read and active")


def examine_reads(
    settings: Settings,
    label: str,
    token: SecretStr,
    found: Inspection,
    wanted: list[str],
    rate_limiter: RateLimiter | None = None,
) -> Iterable[Finding]:
    """Whether each account that is listed can be read: its business may demand more.

    Two-factor authentication of the person, for one. The same calls' headers tell the access tier
    and how much of the call limits is used.
    """
    listed = [str(document.get("account_id")) for document in found.accounts]
    account_ids = [each for each in listed if not wanted or each in wanted][:_MOST_ACCOUNTS_READ]
    if not account_ids:
        return
    check = f"{label} rate limit"
    seen: list[CallRecord] = []
    with brief_client(
        settings, token, app_id=found.facts.app_id, rate_limiter=rate_limiter, on_call=seen.append
    ) as client:
        for account_id in account_ids:
            try:
                client.get_account(account_id)
            except MetaApiError as error:
                if refuses_account(error):
                    message = f"act_{account_id}: {error.explanation}"
                    yield failed(f"{label} act_{account_id}", message, error.advice)
                    continue
                if error.kind is not ErrorKind.RATE_LIMIT:
                    raise
                yield _limit_reached(check, error)
                return
    usage = seen[-1].usage
    if usage == Usage():
        yield warned(check, "the answer says nothing about limits", "Nothing, if it is a proxy's")
        return
    percent = max(usage.percent(use_case, account_id) for use_case in UseCase)
    tier = usage.tier or "unknown tier"
    message = f"{tier}, {percent:.0f} % of the limits used (act_{account_id})"
    if percent >= _BUSY_PERCENT:
        yield warned(
            check, message, "Calls are slowed down by themselves; sync less often if it stays"
        )
    elif tier == "development_access":
        yield warned(
            check,
            message,
            "Limits are low: apply for full access to the Marketing API in the app dashboard",
        )
    else:
        yield passed(check, message)


def _limit_reached(check: str, error: MetaApiError) -> Finding:
    """The budget for calls is spent: that says nothing against the token."""
    wait = error.retry_after_seconds
    return warned(
        check,
        f"reached: {error.explanation}",
        f"Wait {max(1, math.ceil(wait / 60))} min, then run this again"
        if wait
        else "Wait; the client does so by itself",
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
