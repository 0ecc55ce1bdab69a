"""The call budget for the few calls that a person waits for: counted, never waited for long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.connections import Connection
from meta_ads_pipeline.meta_api.error_rules import CALLS_HELD_BRIEFLY
from meta_ads_pipeline.meta_api.priority import Priority, calls_of_priority
from meta_ads_pipeline.meta_api.rate_limiter import RateLimiter
from meta_ads_pipeline.rate_limit.limiter import PostgresRateLimiter
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from meta_ads_pipeline.settings import Settings

LONGEST_WAIT = 5.0
"""Seconds that a person waits for the budget; then the call fails and says until when."""


def app_of(settings: Settings, connection: Connection) -> str:
    """Whose limits a connection's calls count under: its app's, or, that unknown, its own."""
    app_id = connection.facts.app_id or settings.app_id
    return app_id or f"connection {connection.label}"


def budget_rules(settings: Settings) -> BudgetRules:
    """How far and how fast the budget is spent, as the settings say."""
    return BudgetRules(
        ceiling_percent=settings.budget_ceiling_percent,
        calls_per_hour=settings.calls_per_hour,
        calls_in_flight=settings.max_parallel_requests,
        calls_in_flight_per_account=settings.max_parallel_requests_per_account,
    )


@contextmanager
def brief_budget(
    settings: Settings, database: Database | None, connection: Connection | None = None
) -> Iterator[RateLimiter | None]:
    """The shared budget, for a few calls of the highest priority that nobody waits long for.

    ``connection`` None: the token belongs to none yet, as when it is being connected. Without a
    database there is nothing to share and no limiter: Meta's own refusals are all that is known.
    """
    if database is None:
        yield None
        return
    app = settings.app_id or "connection new"
    rate_limiter = PostgresRateLimiter(
        database,
        app=app if connection is None else app_of(settings, connection),
        connection_id="new" if connection is None else connection.connection_id,
        label="new" if connection is None else connection.label,
        rules=replace(budget_rules(settings), longest_wait=LONGEST_WAIT),
        held=CALLS_HELD_BRIEFLY,
    )
    try:
        with calls_of_priority(Priority.TODAY):
            yield rate_limiter
    finally:
        rate_limiter.close()
