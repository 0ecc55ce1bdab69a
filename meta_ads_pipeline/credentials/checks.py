"""Find out how a connection stands: its token inspected at Meta and proven by a real read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from pydantic import SecretStr

from meta_ads_pipeline.control.alerts import update_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.brief_budget import brief_budget
from meta_ads_pipeline.credentials.connection_tokens import read_token
from meta_ads_pipeline.credentials.connections import (
    ENVIRONMENT_NAME,
    Connection,
    TokenFacts,
    list_connections,
    record_state,
    register_environment,
    unregistered,
)
from meta_ads_pipeline.credentials.status import (
    STATE_ALERTS,
    Verdict,
    facts_of,
    refuses_account,
    says_of_token,
    standing_alerts,
    verdict_of_error,
    verdict_of_facts,
    verdict_of_token,
)
from meta_ads_pipeline.credentials.vault import TokenVault, VaultError, fingerprint
from meta_ads_pipeline.errors import CredentialsError
from meta_ads_pipeline.meta_api.calls import CallRecord
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.config import ClientConfig, RetryPolicy
from meta_ads_pipeline.meta_api.error_rules import ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.paging import Listing, Row
from meta_ads_pipeline.meta_api.rate_limiter import RateLimiter
from meta_ads_pipeline.settings import Settings

logger = logging.getLogger(__name__)

BRIEF_PATIENCE = RetryPolicy(
    same_failure=2, attempts=3, first_backoff=0.5, longest_backoff=5.0, rate_limit_total=0.0
)
"""For questions a person waits for: a rate limit is an answer, too."""


OTHER_APP = "another app"
"""In place of an app id: Meta told only that it is not META_APP_ID."""


class AppCredentialsError(CredentialsError):
    """Meta refuses META_APP_ID with META_APP_SECRET; says nothing of any token."""


@dataclass(frozen=True)
class Inspection:
    """What is known of a token after asking Meta. ``accounts`` are the documents that it lists.

    ``of_other_app`` says that the token was not made for the app of META_APP_ID.
    """

    verdict: Verdict
    facts: TokenFacts
    accounts: Listing = field(default_factory=Listing)
    of_other_app: bool = False


def connections_in_use(database: Database, settings: Settings) -> list[Connection]:
    """The connection of ``META_ACCESS_TOKEN`` first, if set; then the stored ones by age.

    Writes nothing: a token of the environment that ``register_environment`` has not seen yet is a
    connection without a history.
    """
    known = list_connections(database)
    stored = [each for each in known if each.has_stored_token]
    token = settings.access_token
    if token is None:
        return stored
    own = next((each for each in known if each.name == ENVIRONMENT_NAME), None)
    if own is None or own.token_fingerprint != fingerprint(token):
        own = unregistered(token, own)
    return [own, *stored]


def revalidate_paused(database: Database, settings: Settings, now: datetime) -> None:
    """Ask Meta once about each paused connection, so that what a person put right works again.

    For the start of a sync; the hourly credentials job does the same. Meta not answering leaves a
    connection paused.
    """
    register_environment(database, settings)
    for connection in connections_in_use(database, settings):
        if connection.status.usable:
            continue
        try:
            validate_connection(database, settings, connection, now)
        except (MetaApiError, VaultError, AppCredentialsError) as error:
            logger.warning("%s stays paused: %s", connection.subject, error)


def token_of(database: Database, settings: Settings, connection: Connection) -> SecretStr:
    """The connection's token. Raises ``VaultError`` when it cannot be had."""
    if connection.has_stored_token:
        return read_token(database, TokenVault.from_settings(settings), connection.connection_id)
    if settings.access_token is None:
        raise VaultError("META_ACCESS_TOKEN is no longer set: `meta-ads connect` stores a token")
    return settings.access_token


def client_config(
    settings: Settings, token: SecretStr, *, app_id: str | None = None
) -> ClientConfig:
    """What a client of the Graph API that the settings name is made from, with this token.

    ``app_id`` is the app the token was made for, where that is known: the app secret signs calls
    (appsecret_proof) unless the token is another app's, which Meta would refuse.
    """
    own = app_id is None or settings.app_id is None or app_id == settings.app_id
    secret = settings.app_secret if own else None
    return ClientConfig(
        access_token=token.get_secret_value(),
        app_id=settings.app_id if own else None,
        app_secret=secret.get_secret_value() if secret else None,
        graph_url=settings.graph_url,
        api_version=settings.api_version,
        attribution_windows=settings.attribution_windows,
        ca_bundle=str(settings.ca_bundle) if settings.ca_bundle else None,
    )


def brief_client(
    settings: Settings,
    token: SecretStr,
    *,
    app_id: str | None = None,
    rate_limiter: RateLimiter | None = None,
    on_call: Callable[[CallRecord], None] | None = None,
) -> MetaAdsClient:
    """A client for a few requests that somebody waits for.

    ``rate_limiter`` is that of ``brief_budget``; without one the calls are not counted anywhere.
    """
    return MetaAdsClient(
        client_config(settings, token, app_id=app_id),
        rate_limiter=rate_limiter,
        on_call=on_call,
        retry_policy=BRIEF_PATIENCE,
        max_concurrency=2,
    )


def inspect(
    settings: Settings,
    token: SecretStr,
    now: datetime,
    *,
    known: TokenFacts | None = None,
    rate_limiter: RateLimiter | None = None,
) -> Inspection:
    """Ask Meta about a token, then read its ad accounts with it.

    With app credentials the app asks; otherwise the token about itself, and where Meta refuses
    that, about its permissions; dates then stay as ``known``. Raises ``AppCredentialsError`` when
    Meta refuses the app, ``MetaApiError`` when it gives no answer that says anything about the
    token (network, limits).
    """
    known = known or TokenFacts()
    as_app = settings.app_id is not None and settings.app_secret is not None
    as_app = as_app and known.app_id in {None, settings.app_id}
    with brief_client(settings, token, app_id=known.app_id, rate_limiter=rate_limiter) as client:
        asked = _ask(client, now, as_app=as_app)
        if not as_app or not _of_other_app(asked, settings):
            found = _concluded(client, asked, known, now)
            return replace(found, of_other_app=known.app_id not in {None, settings.app_id})
    # The other app's secret is not known here: the token is asked about itself.
    bare = settings.model_copy(update={"app_id": None, "app_secret": None})
    with brief_client(bare, token, rate_limiter=rate_limiter) as client:
        asked = _ask(client, now, as_app=False)
        found = _concluded(client, asked, replace(known, app_id=OTHER_APP), now)
        return replace(found, of_other_app=True)


_Asked: TypeAlias = tuple[TokenFacts, Verdict] | MetaApiError


def _ask(client: MetaAdsClient, now: datetime, *, as_app: bool) -> _Asked:
    """What Meta says about the token, or its refusal to say."""
    refused: MetaApiError
    try:
        info = client.inspect_token()
        return facts_of(info), verdict_of_token(info, now)
    except MetaApiError as error:
        if error.kind not in {ErrorKind.AUTH, ErrorKind.INVALID, ErrorKind.PERMISSION}:
            raise
        refused = error
    if as_app and refused.kind is ErrorKind.AUTH:
        raise AppCredentialsError(
            "Meta refuses the app credentials: check META_APP_ID and META_APP_SECRET (App "
            f"dashboard > Settings > Basic). {refused}"
        )
    return refused


def _of_other_app(asked: _Asked, settings: Settings) -> bool:
    """Whether the answer shows that the token was made for another app than META_APP_ID."""
    if isinstance(asked, MetaApiError):
        return "app_id" in asked.message.lower()
    return asked[0].app_id not in {None, settings.app_id}


def _concluded(
    client: MetaAdsClient, asked: _Asked, known: TokenFacts, now: datetime
) -> Inspection:
    """The inspection with the accounts read, or with what the refusal says of the token."""
    facts = known
    try:
        if not isinstance(asked, MetaApiError):
            facts, verdict = asked
        elif says_of_token(asked):
            return Inspection(verdict_of_error(asked), facts)
        else:
            facts = replace(known, scopes=client.granted_scopes())
            verdict = verdict_of_facts(facts, now)
        if not verdict.status.usable:
            return Inspection(verdict, facts)
        return Inspection(verdict, facts, client.get_accounts())
    except MetaApiError as error:
        if error.kind is not ErrorKind.PERMISSION and not says_of_token(error):
            raise
        return Inspection(verdict_of_error(error), facts)


def with_accounts(
    settings: Settings,
    token: SecretStr,
    found: Inspection,
    account_ids: Iterable[str],
    rate_limiter: RateLimiter | None = None,
) -> Inspection:
    """The inspection with these accounts as well, as far as the token reads them.

    A list shows what is assigned to the token's own user, and may be left before its end. Raises
    ``MetaApiError`` on what says nothing about an account.
    """
    listed = {str(document.get("account_id")) for document in found.accounts}
    missing = [each for each in account_ids if each not in listed]
    if not missing or not found.verdict.status.usable:
        return found
    with brief_client(
        settings, token, app_id=found.facts.app_id, rate_limiter=rate_limiter
    ) as client:
        answers = [account_by_id(client, each) for each in missing]
    read = [each for each in answers if not isinstance(each, MetaApiError)]
    known = found.accounts
    accounts = Listing([*known, *read], known.left_out, known.ended_early)
    return replace(found, accounts=accounts)


def account_by_id(client: MetaAdsClient, account_id: str) -> Row | MetaApiError:
    """The document, or Meta's refusal of this account.

    A token may read accounts that are not assigned to its own user, which no list shows. Raises
    ``MetaApiError`` on what says nothing about the account (token, limits, network).
    """
    try:
        return client.get_account(account_id)
    except MetaApiError as error:
        if not refuses_account(error):
            raise
        return error


def validate_connection(
    database: Database, settings: Settings, connection: Connection, now: datetime
) -> tuple[Connection, Inspection]:
    """Inspect a connection's token, write down how it stands, and raise or resolve its alerts.

    Raises ``VaultError`` when the token cannot be decrypted, ``MetaApiError`` when Meta gives no
    answer: then nothing is written.
    """
    token = token_of(database, settings, connection)
    with brief_budget(settings, database, connection) as rate_limiter:
        found = inspect(settings, token, now, known=connection.facts, rate_limiter=rate_limiter)
    after = record_state(
        database,
        connection,
        found.verdict.status,
        found.verdict.reason,
        facts=found.facts,
        validated_at=now,
    )
    update_state_alerts(database, settings, after, now)
    return after, found


def update_state_alerts(
    database: Database, settings: Settings, connection: Connection, now: datetime
) -> None:
    """Raise the alerts that the connection's state calls for; resolve those it no longer does."""
    alerts = standing_alerts(connection, settings, now)
    update_alerts(database, connection.subject, alerts, STATE_ALERTS, now=now)
