"""Rate limiters of one app on one database, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.meta_api.errors import MetaApiError, error_from_envelope
from meta_ads_pipeline.meta_api.priority import current_priority
from meta_ads_pipeline.meta_api.usage import Usage, UseCase
from meta_ads_pipeline.rate_limit.limiter import PostgresRateLimiter
from tests.virtual_clock import VirtualClock

INSIGHTS, MANAGEMENT = UseCase.INSIGHTS, UseCase.MANAGEMENT
DEVELOPMENT = "development_access"

MakeRateLimiter = Callable[..., PostgresRateLimiter]


def spent(database: Database, connection: str = "c1") -> tuple[int, int]:
    """Calls and wasted calls that are written down for a connection."""
    with database.connect() as session:
        row = session.execute(
            "select coalesce(sum(calls), 0)::int as calls, coalesce(sum(wasted), 0)::int as wasted"
            " from control.call_counts where connection = %s",
            [connection],
        ).fetchone()
    assert row is not None
    return row["calls"], row["wasted"]


def limit(code: int, seconds: float | None = None, subcode: int | None = None) -> MetaApiError:
    return error_from_envelope(
        {"code": code, "error_subcode": subcode, "message": "limit"},
        http_status=400,
        account_id="1",
        retry_after_seconds=seconds,
    )


def call(
    rate_limiter: PostgresRateLimiter,
    clock: VirtualClock,
    account: str | None = "1",
    use_case: UseCase = INSIGHTS,
    usage: Usage | None = None,
    error: MetaApiError | None = None,
    calls: int = 1,
) -> float:
    """One call; how long it had to wait."""
    before = clock()
    rate_limiter.before_call(account, use_case, calls)
    waited = clock() - before
    rate_limiter.after_call(account, use_case, usage or Usage(), error, calls)
    return waited


def wait_of(rate_limiter: PostgresRateLimiter, account: str = "1", calls: int = 1) -> float:
    """How long the next call would have to wait; it is not made."""
    wait = rate_limiter._wait(account, INSIGHTS, calls, current_priority())
    if wait <= 0:
        rate_limiter.not_made(account)
    return wait
