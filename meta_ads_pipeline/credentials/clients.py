"""The clients of all connections, and which of them reads which ad account.

A refused token (code 190) pauses its own connection: the gate in front of its client lets no
further call out, and the reason is kept in ``control.connections``. Other connections are not
affected.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

from pydantic import SecretStr

from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.control.report_runs import PostgresReportStore
from meta_ads_pipeline.credentials.brief_budget import app_of, budget_rules
from meta_ads_pipeline.credentials.checks import (
    client_config,
    connections_in_use,
    token_of,
    update_state_alerts,
)
from meta_ads_pipeline.credentials.connection_accounts import account_owners, active_accounts_of
from meta_ads_pipeline.credentials.connections import (
    Connection,
    ConnectionNotFoundError,
    record_state,
)
from meta_ads_pipeline.credentials.status import says_of_token, verdict_of_error
from meta_ads_pipeline.credentials.vault import VaultError
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.error_rules import ErrorKind, rule_for
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.rate_limiter import RateLimiter
from meta_ads_pipeline.meta_api.usage import Usage, UseCase
from meta_ads_pipeline.rate_limit.limiter import PostgresRateLimiter
from meta_ads_pipeline.settings import Settings

logger = logging.getLogger(__name__)

_NO_TOKEN = SecretStr("unreadable")  # never sent: the gate in front of it is closed


class CircuitBreaker:
    """A rate_limiter that closes for good on the first refusal of the token. Thread-safe."""

    def __init__(
        self,
        inner: RateLimiter,
        on_refusal: Callable[[MetaApiError], None],
        closed: MetaApiError | None = None,
    ) -> None:
        self._inner = inner
        self._on_refusal = on_refusal
        self._closed = closed
        self._lock = threading.Lock()

    @property
    def is_closed(self) -> bool:
        """Whether the connection is paused."""
        return self._closed is not None

    def before_call(self, account_id: str | None, use_case: UseCase, calls: int = 1) -> None:
        """Wait as the inner rate_limiter says; raise the refusal when the connection is paused."""
        self._refuse_if_closed(account_id)
        self._inner.before_call(account_id, use_case, calls)
        try:
            self._refuse_if_closed(account_id)
        except MetaApiError:
            self._inner.not_made(account_id)
            raise

    def after_call(
        self,
        account_id: str | None,
        use_case: UseCase,
        usage: Usage,
        error: MetaApiError | None,
        calls: int = 1,
    ) -> None:
        """Learn from the answer; close on a refused token and tell it once."""
        self._inner.after_call(account_id, use_case, usage, error, calls)
        if error is None or error.kind is not ErrorKind.AUTH:
            return
        with self._lock:
            first, self._closed = self._closed is None, self._closed or error
        if first:
            self._on_refusal(error)

    def not_made(self, account_id: str | None) -> None:
        """Pass it on."""
        self._inner.not_made(account_id)

    def flush(self) -> None:
        """Let the inner rate_limiter write down what it holds back."""
        if isinstance(self._inner, PostgresRateLimiter):
            self._inner.close()

    def _refuse_if_closed(self, account_id: str | None) -> None:
        if self._closed is not None:
            raise replace(self._closed, what="not asked", account_id=account_id)


@dataclass(frozen=True)
class ConnectedClient:
    """A connection with its client. ``only`` are the accounts it is for; empty: all it reads."""

    connection: Connection
    client: MetaAdsClient
    gate: CircuitBreaker
    only: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether calls may go out; a paused connection's client raises at once."""
        return not self.gate.is_closed


class ConnectedClients:
    """The clients of all connections: that of the environment first, then the oldest first."""

    def __init__(self, database: Database, clients: list[ConnectedClient]) -> None:
        self._database = database
        self._clients = clients
        self._by_connection = {each.connection.connection_id: each for each in clients}
        self._owners: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[ConnectedClient]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the clients' threads; what they learned of the budget is kept."""
        for each in self._clients:
            each.client.close()
            each.gate.flush()

    @property
    def first(self) -> ConnectedClient:
        """The first usable connection, or the first there is. Raises ``LookupError`` on none."""
        if not self._clients:
            raise LookupError("there is no connection")
        return next((each for each in self._clients if each.usable), self._clients[0])

    def of(self, account_id: str) -> ConnectedClient:
        """The connection that reads this ad account (id without ``act_``).

        It is the account's own, usable or not; for an account without one, the first usable.
        """
        owner = self._owner(account_id)
        found = None if owner is None else self._by_connection.get(owner)
        return found or self.first

    def client_for(self, account_id: str) -> MetaAdsClient:
        """The client that reads this ad account."""
        return self.of(account_id).client

    def owner_of(self, account_id: str) -> str | None:
        """The id of the account's connection, if it has one of these."""
        owner = self._owner(account_id)
        return owner if owner in self._by_connection else None

    def assign(self, account_id: str, connection_id: str) -> None:
        """Read the account with this connection from now on."""
        with self._lock:
            self._owners[account_id] = connection_id

    def _owner(self, account_id: str) -> str | None:
        with self._lock:
            if self._owners.get(account_id) is None:
                self._owners = account_owners(self._database)
            return self._owners.get(account_id)


def clients_for(
    settings: Settings,
    database: Database,
    *,
    rate_limiter_for: Callable[[Connection], RateLimiter] | None = None,
    **client_options: Any,
) -> ConnectedClients:
    """A client for every connection; those of paused ones raise the reason at each call.

    Makes no call, writes nothing and alerts nobody: ``revalidate_paused`` asks Meta about paused
    connections before. ``client_options`` go to
    ``MetaAdsClient``; ``rate_limiter_for`` gives the limiter behind each connection's breaker, by
    default the one that shares its budget with all processes.
    """
    clients = []
    client_options = {"report_store": PostgresReportStore(database), **client_options}
    for connection in connections_in_use(database, settings):
        closed, token = None, _NO_TOKEN
        try:
            token = token_of(database, settings, connection)
            if not connection.status.usable:
                reason = connection.status_reason or str(connection.status)
                closed = _pause_error(connection, reason)
        except VaultError as error:
            closed = _pause_error(connection, str(error))
        inner = (rate_limiter_for or partial(shared_rate_limiter, settings, database))(connection)
        gate = CircuitBreaker(inner, _pauser(database, settings, connection), closed)
        config = client_config(settings, token, app_id=connection.facts.app_id)
        client = MetaAdsClient(config, rate_limiter=gate, **client_options)
        clients.append(
            ConnectedClient(connection, client, gate, _only(database, settings, connection))
        )
    return ConnectedClients(database, clients)


def shared_rate_limiter(
    settings: Settings, database: Database, connection: Connection
) -> PostgresRateLimiter:
    """The rate_limiter of a connection, with the bounds of the settings."""
    return PostgresRateLimiter(
        database,
        app=app_of(settings, connection),
        connection_id=connection.connection_id,
        label=connection.label,
        rules=budget_rules(settings),
    )


def _pause_error(connection: Connection, reason: str) -> MetaApiError:
    return MetaApiError(rule_for(190), f"{connection.subject} is paused: {reason}")


def _pauser(
    database: Database, settings: Settings, connection: Connection
) -> Callable[[MetaApiError], None]:
    """Writes a refusal down. A database that is away cannot hide the refusal itself."""

    def pause(error: MetaApiError) -> None:
        if not says_of_token(error):
            return
        verdict = verdict_of_error(error)
        try:
            paused = record_state(database, connection, verdict.status, verdict.reason)
            update_state_alerts(database, settings, paused, datetime.now(UTC))
        except (DatabaseError, ConnectionNotFoundError) as also:
            logger.warning("%s: the pause could not be recorded: %s", connection.subject, also)

    return pause


def _only(database: Database, settings: Settings, connection: Connection) -> tuple[str, ...]:
    if connection.from_environment:
        return settings.ad_account_ids
    if connection.reads_all_accounts:
        return ()
    return tuple(active_accounts_of(database, connection.connection_id))
