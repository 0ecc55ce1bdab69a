"""Renew tokens well before they end: one process at a time, the old one kept until the new works.

``refresh_due_connections`` is what a schedule calls, every hour.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import SecretStr

from meta_ads_pipeline.control.alerts import Alert, Severity, close_alerts, open_alert
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.brief_budget import brief_budget
from meta_ads_pipeline.credentials.checks import (
    AppCredentialsError,
    Inspection,
    account_by_id,
    brief_client,
    connections_in_use,
    inspect,
    token_of,
    update_state_alerts,
    validate_connection,
)
from meta_ads_pipeline.credentials.connection_accounts import active_accounts_of
from meta_ads_pipeline.credentials.connection_tokens import (
    record_refresh_attempt,
    replace_token,
    token_lock,
)
from meta_ads_pipeline.credentials.connections import (
    Connection,
    ConnectionNotFoundError,
    register_environment,
    reload,
)
from meta_ads_pipeline.credentials.status import (
    RETRY_RENEWAL_AFTER,
    SYSTEM_USER,
    days_stage,
    reconnect_command,
    renewal_due,
    spoken,
    why_not_renewable,
)
from meta_ads_pipeline.credentials.vault import TokenVault, VaultError, fingerprint
from meta_ads_pipeline.errors import CredentialsError
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.rate_limiter import RateLimiter
from meta_ads_pipeline.settings import Settings

logger = logging.getLogger(__name__)

VALIDATE_EVERY = timedelta(hours=24)
TRY_PAUSED_EVERY = timedelta(hours=1)

RENEWAL_FAILED, TOKEN_UNREADABLE = "token_refresh_failed", "token_unreadable"


class RenewalOutcome(StrEnum):
    """What became of one connection's turn."""

    RENEWED = "renewed"
    NOT_DUE = "not_due"
    NOT_POSSIBLE = "not_possible"
    TRIED_RECENTLY = "tried_recently"
    IN_PROGRESS = "in_progress"
    FAILED = "failed"


@dataclass(frozen=True)
class RenewalReport:
    """One connection's turn; ``message`` is for people and holds no secret."""

    connection: Connection
    outcome: RenewalOutcome
    message: str


class RenewalRefusedError(CredentialsError):
    """The new token is not as good as the old one, which stays."""


def refresh_due_connections(
    database: Database, settings: Settings, now: datetime
) -> list[RenewalReport]:
    """Look after every connection: validate, renew what is due, raise and resolve alerts.

    A validation a day for each, and one an hour for those paused. One connection's trouble leaves
    the others' turns alone. ``now`` is UTC. Raises ``DatabaseError``.
    """
    reports = []
    register_environment(database, settings)
    for connection in connections_in_use(database, settings):
        current = connection
        try:
            if _validation_due(connection, now):
                current, _ = validate_connection(database, settings, connection, now)
                close_alerts(database, current.subject, [TOKEN_UNREADABLE], now=now)
            report = refresh_connection(database, settings, current, now)
            current = report.connection
            update_state_alerts(database, settings, current, now)
        except VaultError as error:
            alert = Alert(
                TOKEN_UNREADABLE,
                current.subject,
                Severity.CRITICAL,
                f"{current.subject}: its token cannot be decrypted",
                str(error),
            )
            open_alert(database, alert, now=now)
            report = RenewalReport(current, RenewalOutcome.FAILED, str(error))
        except (MetaApiError, AppCredentialsError) as error:
            # Meta gave no answer: the dates that are known still count.
            update_state_alerts(database, settings, current, now)
            report = RenewalReport(current, RenewalOutcome.FAILED, str(error))
        except ConnectionNotFoundError:
            continue
        reports.append(report)
    return reports


def refresh_connection(
    database: Database,
    settings: Settings,
    connection: Connection,
    now: datetime,
    *,
    force: bool = False,
) -> RenewalReport:
    """Renew a connection's token if that is due, or with ``force`` in any case.

    The new token replaces the old one only after Meta's inspection and a real read of the ad
    accounts have proven it. A failure raises an alert and leaves the old token in place. Raises
    ``VaultError`` when the token cannot be decrypted.
    """
    obstacle = why_not_renewable(connection, settings)
    never, due = connection.facts.expires_at is None, renewal_due(connection.facts, now)
    if connection.status.usable and (never or not (force or due)):
        return RenewalReport(connection, RenewalOutcome.NOT_DUE, _valid_until(connection))
    if obstacle is not None:
        return RenewalReport(connection, RenewalOutcome.NOT_POSSIBLE, obstacle)
    with token_lock(database, connection.connection_id, wait=force) as is_ours:
        current = reload(database, connection.connection_id)
        if not is_ours:
            return RenewalReport(
                current, RenewalOutcome.IN_PROGRESS, "another process is renewing it"
            )
        if current.token_fingerprint != connection.token_fingerprint or not (
            force or renewal_due(current.facts, now)
        ):
            return RenewalReport(current, RenewalOutcome.NOT_DUE, _valid_until(current))
        if not force and _tried_recently(current, now):
            return RenewalReport(
                current, RenewalOutcome.TRIED_RECENTLY, "the last attempt failed; later again"
            )
        record_refresh_attempt(database, current.connection_id, now)
        try:
            renewed = _renew(database, settings, current, now)
        except (MetaApiError, AppCredentialsError, RenewalRefusedError) as error:
            open_alert(database, _failure_alert(current, str(error), now), now=now)
            return RenewalReport(current, RenewalOutcome.FAILED, str(error))
    close_alerts(database, renewed.subject, [RENEWAL_FAILED], now=now)
    update_state_alerts(database, settings, renewed, now)
    logger.info("%s: token renewed, %s", renewed.subject, _valid_until(renewed))
    return RenewalReport(renewed, RenewalOutcome.RENEWED, _valid_until(renewed))


def _renew(
    database: Database, settings: Settings, connection: Connection, now: datetime
) -> Connection:
    old_token = token_of(database, settings, connection)
    facts = connection.facts
    with brief_budget(settings, database, connection) as rate_limiter:
        with brief_client(
            settings, old_token, app_id=facts.app_id, rate_limiter=rate_limiter
        ) as client:
            new = client.exchange_token(sixty_days=facts.token_type == SYSTEM_USER)
        new_token = SecretStr(new.access_token)
        if fingerprint(new_token) == connection.token_fingerprint:
            raise RenewalRefusedError("Meta gave the same token again; the next attempt is later")
        found = inspect(settings, new_token, now, known=facts, rate_limiter=rate_limiter)
        accounts = active_accounts_of(database, connection.connection_id)
        prove(settings, connection, (old_token, new_token), found, accounts, rate_limiter)
    if not replace_token(
        database,
        TokenVault.from_settings(settings),
        connection,
        new_token,
        found.facts,
        found.verdict.status,
        now=now,
    ):
        raise RenewalRefusedError(
            "the connection was given another token meanwhile; that one stays"
        )
    return reload(database, connection.connection_id)


def prove(
    settings: Settings,
    connection: Connection,
    tokens: tuple[SecretStr, SecretStr],
    found: Inspection,
    account_ids: list[str],
    rate_limiter: RateLimiter | None,
) -> None:
    """Raises ``RenewalRefusedError`` unless the new token reads what the old one is there for."""
    old = connection.facts
    old_token, new_token = tokens
    if not found.verdict.status.usable:
        raise RenewalRefusedError(f"the new token does not work: {found.verdict.reason}")
    if old.user_id and found.facts.user_id and old.user_id != found.facts.user_id:
        raise RenewalRefusedError("the new token is another person's")
    if old.expires_at and found.facts.expires_at and found.facts.expires_at <= old.expires_at:
        raise RenewalRefusedError("the new token does not last longer than the old one")
    listed = {str(row.get("account_id")) for row in found.accounts}
    app_id = found.facts.app_id
    with (
        brief_client(settings, new_token, app_id=app_id, rate_limiter=rate_limiter) as new,
        brief_client(settings, old_token, app_id=app_id, rate_limiter=rate_limiter) as before,
    ):
        for account_id in account_ids:
            # A token may read accounts that are not assigned to its own user. An account that the
            # old token has lost, too, is no reason against the new one.
            if account_id in listed or _reads(new, account_id) or not _reads(before, account_id):
                continue
            raise RenewalRefusedError(
                f"the new token does not read act_{account_id}: give its user access to the ad "
                f"account in Business settings, or run `meta-ads accounts stop {account_id}`"
            )


def _reads(client: MetaAdsClient, account_id: str) -> bool:
    """Whether Meta gives the account; raises what says nothing about the account."""
    return not isinstance(account_by_id(client, account_id), MetaApiError)


def _failure_alert(connection: Connection, message: str, now: datetime) -> Alert:
    expires_at = connection.facts.expires_at
    stage = days_stage(expires_at, now) if expires_at else None
    again = reconnect_command(connection)
    return Alert(
        RENEWAL_FAILED,
        connection.subject,
        Severity.CRITICAL if stage == 1 else Severity.WARNING,
        f"{connection.subject}: renewing the token failed ({message}); the old one is "
        f"{_valid_until(connection)}",
        f"It is tried again every {RETRY_RENEWAL_AFTER.total_seconds() / 3600:.0f} hours. If that "
        f"lasts, {again}",
        stage="" if stage is None else f"{stage} d",
    )


def _validation_due(connection: Connection, now: datetime) -> bool:
    every = VALIDATE_EVERY if connection.status.usable else TRY_PAUSED_EVERY
    last = connection.last_validated_at
    return last is None or now - last >= every


def _tried_recently(connection: Connection, now: datetime) -> bool:
    tried = connection.refresh_attempted_at
    return tried is not None and timedelta() <= now - tried < RETRY_RENEWAL_AFTER


def _valid_until(connection: Connection) -> str:
    expires_at = connection.facts.expires_at
    return "valid without end" if expires_at is None else f"valid until {spoken(expires_at)}"
