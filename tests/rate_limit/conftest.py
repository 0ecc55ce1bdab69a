"""Rate limiters as processes of their own would have them, on a clock whose waits cost no time."""

import pytest

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.rate_limit.limiter import PostgresRateLimiter
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from tests.rate_limit.limiters import MakeRateLimiter
from tests.virtual_clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def make_rate_limiter(database: Database, clock: VirtualClock) -> MakeRateLimiter:
    """Rate limiters of one app, as processes of their own would have them."""
    clock.now = 1_760_000_000.0

    def make(connection: str = "c1", **rules: float) -> PostgresRateLimiter:
        return PostgresRateLimiter(
            database,
            app="app",
            connection_id=connection,
            rules=BudgetRules(**rules),  # type: ignore[arg-type]
            clock=clock,
            sleep=clock.sleep,
        )

    return make
