"""What a token's dates, scopes and failures mean: usable or not, why, when to renew, what to tell.

Pure functions; ``now`` and all instants are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from meta_ads_pipeline.control.alerts import Alert, Severity
from meta_ads_pipeline.credentials.connections import Connection, ConnectionStatus, TokenFacts
from meta_ads_pipeline.meta_api.error_rules import ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.tokens import TokenInfo
from meta_ads_pipeline.settings import Settings

ALERT_DAYS = (14, 7, 1)
"""How many days ahead an expiry is told, each time anew."""

RENEW_AHEAD = timedelta(days=14)
"""A token is renewed at half its life, and in any case this long before it ends."""

RETRY_RENEWAL_AFTER = timedelta(hours=6)

PAUSED, EXPIRING, DATA_ACCESS = "connection_paused", "token_expiring", "data_access_expiring"
STATE_ALERTS = (PAUSED, EXPIRING, DATA_ACCESS)

_EXPIRED_SUBCODES = (463, 493)
_OF_THE_APP = frozenset(
    {"app_secret_proof", "app_credentials", "app_credentials_code", "app_blocked"}
)
SYSTEM_USER = "SYSTEM_USER"
_READ_NO_ACCOUNTS = {
    kind: f"this is {whose} token, which reads no ad accounts: a person's or a system user's does"
    for kind, whose in (("PAGE", "a Page's"), ("APP", "an app's"))
}
"""By the type that ``debug_token`` tells: why such a token is of no use, whatever its scopes."""
_RENEWABLE_TYPES = (None, "USER", SYSTEM_USER)


@dataclass(frozen=True)
class Verdict:
    """How a token stands, and why where that is not simply well. Holds no secret."""

    status: ConnectionStatus
    reason: str | None = None


ACTIVE = Verdict(ConnectionStatus.ACTIVE)


def says_of_token(error: MetaApiError) -> bool:
    """Whether a refusal is the token's fault; a wrong META_APP_SECRET or a blocked app is not."""
    return error.kind is ErrorKind.AUTH and error.rule.name not in _OF_THE_APP


def refuses_account(error: MetaApiError) -> bool:
    """Whether the refusal is about the object that was asked for: not the token, a limit, luck."""
    return error.kind in {ErrorKind.PERMISSION, ErrorKind.INVALID}


def verdict_of_error(error: MetaApiError) -> Verdict:
    """What a refused call says of the token. For errors of kind auth or permission."""
    numbers = "/".join(str(n) for n in (error.code, error.subcode) if n is not None)
    reason = f"{error.explanation} ({numbers})" if numbers else error.explanation
    if error.kind is ErrorKind.PERMISSION:
        return Verdict(ConnectionStatus.MISSING_SCOPE, reason)
    if error.subcode in _EXPIRED_SUBCODES:
        return Verdict(ConnectionStatus.EXPIRED, reason)
    return Verdict(ConnectionStatus.REVOKED, reason)


def verdict_of_token(info: TokenInfo, now: datetime) -> Verdict:
    """What Meta's inspection says of a token."""
    if info.expires_at is not None and info.expires_at <= now:
        return Verdict(ConnectionStatus.EXPIRED, f"the token expired on {spoken(info.expires_at)}")
    if not info.is_valid and info.error is not None:
        return verdict_of_error(info.error)
    if not info.is_valid:
        return Verdict(ConnectionStatus.REVOKED, "Meta says that the token is not valid")
    access = info.data_access_expires_at
    if access is not None and access <= now:
        return Verdict(
            ConnectionStatus.EXPIRED,
            f"the person's consent to data access ended on {spoken(access)}",
        )
    return verdict_of_facts(facts_of(info), now)


def verdict_of_facts(facts: TokenFacts, now: datetime) -> Verdict:
    """What scopes and dates say of a token that was seen to work."""
    if facts.token_type in _READ_NO_ACCOUNTS:
        return Verdict(ConnectionStatus.MISSING_SCOPE, _READ_NO_ACCOUNTS[facts.token_type])
    granted = set(facts.scopes)
    if not granted & {"ads_read", "ads_management"}:
        return Verdict(ConnectionStatus.MISSING_SCOPE, "the permission ads_read is not granted")
    ends = [end for end in (facts.expires_at, facts.data_access_expires_at) if end is not None]
    if ends and days_stage(min(ends), now) is not None:
        return Verdict(ConnectionStatus.EXPIRING, f"ends on {spoken(min(ends))}")
    return ACTIVE


def facts_of(info: TokenInfo) -> TokenFacts:
    """An inspection's answer as it is stored."""
    return TokenFacts(
        token_type=info.token_type,
        scopes=info.scopes,
        app_id=info.app_id,
        user_id=info.user_id,
        issued_at=info.issued_at,
        expires_at=info.expires_at,
        data_access_expires_at=info.data_access_expires_at,
    )


def renewal_due(facts: TokenFacts, now: datetime) -> bool:
    """Whether a token that still works should be renewed: half its life over, or near its end."""
    if facts.expires_at is None or facts.expires_at <= now:
        return False
    ahead = RENEW_AHEAD
    if facts.issued_at is not None:
        ahead = max(ahead, (facts.expires_at - facts.issued_at) / 2)
    return facts.expires_at - now <= ahead


def why_not_renewable(connection: Connection, settings: Settings) -> str | None:
    """What stands in the way of renewing a token, as a sentence with the fix; None: nothing."""
    again = reconnect_command(connection)
    if not connection.status.usable:
        return f"a dead token cannot be renewed ({connection.status_reason}): {again}"
    if connection.from_environment:
        return (
            "META_ACCESS_TOKEN is never renewed by the pipeline: store the token with "
            "`meta-ads connect`, which is, or put a new one into the environment"
        )
    if not settings.app_id or settings.app_secret is None:
        return f"set META_APP_ID and META_APP_SECRET so that it is renewed by itself, or {again}"
    app_id = connection.facts.app_id
    if app_id is not None and app_id != settings.app_id:
        return (
            f"the token is of the app {app_id}, META_APP_ID is {settings.app_id}: set that app's "
            f"id and secret, or {again}"
        )
    if connection.facts.token_type not in _RENEWABLE_TYPES:
        return f"a token of type {connection.facts.token_type} cannot be renewed: {again}"
    return None


def standing_alerts(connection: Connection, settings: Settings, now: datetime) -> list[Alert]:
    """The alerts that the connection's state calls for, of the kinds in ``STATE_ALERTS``."""
    subject, again = connection.subject, reconnect_command(connection)
    if not connection.status.usable:
        return [
            Alert(
                PAUSED,
                subject,
                Severity.CRITICAL,
                f"{subject} is paused ({connection.status}): {connection.status_reason}",
                f"{again[0].upper()}{again[1:]}. Other connections are not affected",
                stage=str(connection.status),
            )
        ]
    alerts = []
    facts = connection.facts
    ways = (
        (
            EXPIRING,
            facts.expires_at,
            "the token",
            why_not_renewable(connection, settings)
            or f"renewing it has not succeeded yet: `meta-ads connections refresh "
            f"{connection.label}` tells why; or {again}",
        ),
        (
            DATA_ACCESS,
            facts.data_access_expires_at,
            "the person's consent to data access",
            f"renewing the token does not prolong it: log in to the app again and {again}; the "
            "token of a system user has no such end",
        ),
    )
    for kind, end, what, fix in ways:
        stage = None if end is None else days_stage(end, now)
        if end is None or stage is None:
            continue
        alerts.append(
            Alert(
                kind,
                subject,
                Severity.CRITICAL if stage == min(ALERT_DAYS) else Severity.WARNING,
                f"{subject}: {what} ends in {spoken_span(end - now)}, on {spoken(end)}",
                f"{fix[0].upper()}{fix[1:]}",
                stage=f"{stage} d",
            )
        )
    return alerts


def days_stage(end: datetime, now: datetime) -> int | None:
    """The nearest of ``ALERT_DAYS`` that an end has come within; None while it is further off."""
    return min((days for days in ALERT_DAYS if end - now <= timedelta(days=days)), default=None)


def reconnect_command(connection: Connection) -> str:
    """How to give this connection a new token."""
    if connection.from_environment:
        return "set META_ACCESS_TOKEN to a new token"
    return (
        f"give a new token with `meta-ads connect --workspace {connection.workspace} "
        f"--name {connection.name}`"
    )


def spoken(instant: datetime) -> str:
    """An instant for people, to the minute, UTC."""
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def spoken_span(span: timedelta) -> str:
    """A length of time for people: days, or hours below two days."""
    hours = max(0, round(span.total_seconds() / 3600))
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours"
