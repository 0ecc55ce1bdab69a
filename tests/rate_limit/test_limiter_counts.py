"""The hourly cap, and the counts that it and the reports rest on."""

from __future__ import annotations

import itertools
import subprocess
import sys

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.meta_api.errors import error_from_envelope
from meta_ads_pipeline.meta_api.priority import (
    Priority,
    calls_of_priority,
)
from meta_ads_pipeline.meta_api.usage import Usage
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from tests.rate_limit.limiters import (
    DEVELOPMENT,
    INSIGHTS,
    MakeRateLimiter,
    call,
    spent,
    wait_of,
)
from tests.virtual_clock import VirtualClock


def test_the_hourly_cap_of_the_development_tier_is_hard(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock, database: Database
) -> None:
    """Two processes, one token: 180 calls in any sixty minutes, however they begin."""
    limiters = [make_rate_limiter(), make_rate_limiter()]
    moments: list[float] = []
    usage = Usage(insights_account_percent=1, tier=DEVELOPMENT)
    while len(moments) < 420:
        for rate_limiter in limiters:
            call(rate_limiter, clock, usage=usage)
            moments.append(clock())
    for moment in moments:
        assert sum(moment <= other < moment + 3600 for other in moments) <= 180
    # Not a burst and a stop: the first hundred at once, then ever wider gaps.
    gaps = [b - a for a, b in itertools.pairwise(moments)]
    assert max(gaps[:90]) == 0
    assert max(gaps) <= 420
    assert len(moments) / ((moments[-1] - moments[0]) / 3600) > 150
    for rate_limiter in limiters:
        rate_limiter.flush()
    assert spent(database) == (420, 0)
    assert call(make_rate_limiter("c2"), clock) == 0  # another token has its own


def test_the_cap_leaves_room_for_higher_priorities(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock
) -> None:
    rate_limiter = make_rate_limiter(calls_per_hour=100, slow_from=0.99)
    with calls_of_priority(Priority.BACKFILL):
        for _ in range(70):
            assert call(rate_limiter, clock) == 0
        assert wait_of(rate_limiter) > 3000
    for _ in range(29):
        assert wait_of(rate_limiter) == 0
    assert rate_limiter._take("1", INSIGHTS, 2, Priority.TODAY, clock()) > 3000


def test_standard_tier_has_no_cap_and_zero_turns_it_off() -> None:
    assert BudgetRules().cap(DEVELOPMENT) == 180
    assert BudgetRules().cap("standard_access") is None
    assert BudgetRules().cap(None) is None
    assert BudgetRules(calls_per_hour=0).cap(DEVELOPMENT) is None
    assert BudgetRules(calls_per_hour=50).cap("standard_access") == 50


def test_calls_and_waste_are_counted_as_meta_counts_and_written_together(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock, database: Database
) -> None:
    rate_limiter = make_rate_limiter()
    call(rate_limiter, clock)
    for _ in range(20):
        call(rate_limiter, clock, error=error_from_envelope({"code": 2}, http_status=500))
    call(rate_limiter, clock, calls=50)
    assert spent(database) == (1, 0)  # the first was written at once, the rest waits for its second
    clock.now += 1
    call(rate_limiter, clock)
    assert spent(database) == (72, 20)


def test_the_counts_of_a_process_are_kept_when_it_ends(database: Database) -> None:
    program = (
        "from meta_ads_pipeline.control.database import Database\n"
        "from meta_ads_pipeline.rate_limit.limiter import PostgresRateLimiter\n"
        "from meta_ads_pipeline.meta_api.usage import Usage, UseCase\n"
        f"g = PostgresRateLimiter(Database({database.url!r}), app='a', connection_id='c1')\n"
        "for _ in range(7):\n"
        "    g.before_call('1', UseCase.INSIGHTS)\n"
        "    g.after_call('1', UseCase.INSIGHTS, Usage(), None)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert spent(database) == (7, 0)


def test_a_database_that_went_away_and_came_back_is_used_again(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock, database: Database
) -> None:
    rate_limiter = make_rate_limiter()
    call(rate_limiter, clock)
    with database.connect(autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'meta-ads call budget' and datname = current_database()"
        )
    clock.now += 2
    assert call(rate_limiter, clock) == 0
