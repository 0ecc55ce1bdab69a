"""Having Meta send the changes of ad accounts, also of those that appear later."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime

from meta_ads_pipeline.control.alerts import Alert, Severity, update_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.webhook_subscriptions import (
    attempts,
    missing,
    record_attempt,
    subscription_of,
    unsubscribed_accounts,
)
from meta_ads_pipeline.credentials.checks import BRIEF_PATIENCE
from meta_ads_pipeline.credentials.clients import ConnectedClient, ConnectedClients, clients_for
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.settings import Settings

logger = logging.getLogger(__name__)

SUBSCRIPTION_REFUSED = "webhook_subscription"
_SUBJECT = "webhooks"
_MOST_NAMED = 5


def subscribe_accounts(
    database: Database,
    clients: ConnectedClients,
    app_id: str,
    account_ids: Sequence[str],
    now: datetime,
) -> Iterator[tuple[str, str | None]]:
    """Subscribe the app to each account, one call each; yields it with why it was not, or None.

    What came of it is recorded, unless the same call may succeed a moment later. ``now`` is UTC.
    """
    for account_id in account_ids:
        connected = clients.of(account_id)
        reason = _of_other_app(connected, app_id)
        may_pass = False
        if reason is None:
            try:
                connected.client.subscribe_account(account_id)
            except MetaApiError as error:
                reason = str(error)
                # A paused connection has an alert of its own and works again by itself.
                may_pass = error.may_pass or not connected.usable
        if not may_pass:
            record_attempt(database, app_id, account_id, reason, now)
        yield account_id, reason


def subscribe_new_accounts(database: Database, settings: Settings, now: datetime) -> list[str]:
    """Subscribe accounts that were not there when a person subscribed all; returns them.

    Does nothing before that. A refusal is an alert, once, and is tried again after a day; what
    passes is tried again the next time. ``now`` is UTC. Raises ``DatabaseError``.
    """
    if subscription_of(database, settings.app_id) is None:
        return []
    assert settings.app_id is not None
    done = []
    if due := unsubscribed_accounts(database, settings.app_id, now):
        with clients_for(settings, database, retry_policy=BRIEF_PATIENCE) as clients:
            due = [each for each in due if len(clients) and clients.of(each).usable]
            for account_id, reason in subscribe_accounts(
                database, clients, settings.app_id, due, now
            ):
                if reason is None:
                    done.append(account_id)
                else:
                    logger.warning("act_%s: not subscribed to webhooks: %s", account_id, reason)
    tell_of_refusals(database, settings.app_id, now)
    return done


def tell_of_refusals(database: Database, app_id: str, now: datetime) -> None:
    """Open the alert of accounts that Meta did not subscribe, or close it where there is none."""
    found = attempts(database, app_id)
    refused = missing(found)
    standing = []
    if refused:
        named = ", ".join(f"act_{account_id}" for account_id in refused[:_MOST_NAMED])
        more = f" and {len(refused) - _MOST_NAMED} more" if len(refused) > _MOST_NAMED else ""
        standing.append(
            Alert(
                SUBSCRIPTION_REFUSED,
                _SUBJECT,
                Severity.WARNING,
                f"Meta sends no changes of {named}{more}: {found[refused[0]]}. Their changes are "
                "seen when lists are read; no number is affected.",
                "Give the token ads_management (docs/meta-setup.md, step 4). It is tried again "
                "once a day; `meta-ads webhooks subscribe` tries at once.",
                stage=f"{len(refused)} accounts",
            )
        )
    update_alerts(database, _SUBJECT, standing, [SUBSCRIPTION_REFUSED], now=now)


def _of_other_app(connected: ConnectedClient, app_id: str) -> str | None:
    theirs = connected.connection.facts.app_id
    if theirs in {None, app_id}:
        return None
    return f"its token is of {theirs}, which announces nothing to this receiver"
