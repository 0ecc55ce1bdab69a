"""The rate_limiter: slows smoothly, waits out a block, probes it with one call."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError, error_from_envelope
from meta_ads_pipeline.meta_api.rate_limiter import UsageRateLimiter
from meta_ads_pipeline.meta_api.usage import Usage, UseCase, UseCaseUsage
from tests.virtual_clock import VirtualClock

INSIGHTS, MANAGEMENT = UseCase.INSIGHTS, UseCase.MANAGEMENT


def limit(code: int, minutes: float | None = None, account: str = "1") -> MetaApiError:
    seconds = None if minutes is None else minutes * 60
    return error_from_envelope(
        {"code": code, "message": "limit"},
        http_status=400,
        account_id=account,
        retry_after_seconds=seconds,
    )


@pytest.fixture
def rate_limiter(clock: VirtualClock) -> UsageRateLimiter:
    return UsageRateLimiter(clock=clock, sleep=clock.sleep)


def wait_of(
    rate_limiter: UsageRateLimiter, clock: VirtualClock, account: str, use_case: UseCase
) -> float:
    before = clock()
    rate_limiter.before_call(account, use_case)
    return clock() - before


@given(st.lists(st.floats(0, 150), min_size=2, max_size=2))
def test_the_pause_grows_with_usage_without_a_step(percents: list[float]) -> None:
    clock = VirtualClock()
    low, high = sorted(percents)

    def pause(percent: float) -> float:
        rate_limiter = UsageRateLimiter(clock=clock, sleep=clock.sleep)
        rate_limiter.after_call("1", INSIGHTS, Usage(insights_account_percent=percent), None)
        return rate_limiter.pause_seconds("1", INSIGHTS)

    assert 0 <= pause(low) <= pause(high) <= 60
    # No cliff: one percent more never costs more than a few seconds.
    assert pause(min(low + 1, 100)) - pause(min(low, 100)) < 60 * 3 / 25 + 0.1


def test_nothing_waits_below_the_threshold(
    rate_limiter: UsageRateLimiter, clock: VirtualClock
) -> None:
    rate_limiter.after_call("1", INSIGHTS, Usage(app_percent=75), None)
    assert wait_of(rate_limiter, clock, "1", INSIGHTS) == 0
    rate_limiter.after_call("1", INSIGHTS, Usage(app_percent=95), None)
    assert 20 < wait_of(rate_limiter, clock, "1", INSIGHTS) < 40
    assert wait_of(rate_limiter, clock, "1", MANAGEMENT) == 0
    assert wait_of(rate_limiter, clock, "2", INSIGHTS) == 0


def test_a_reading_fades_and_a_silent_answer_keeps_it(
    rate_limiter: UsageRateLimiter, clock: VirtualClock
) -> None:
    rate_limiter.after_call("1", INSIGHTS, Usage(app_percent=100), None)
    rate_limiter.after_call("1", INSIGHTS, Usage(), None)
    assert rate_limiter.pause_seconds("1", INSIGHTS) == 60
    clock.now += 600
    assert 0 < rate_limiter.pause_seconds("1", INSIGHTS) < 20
    clock.now += 600
    assert rate_limiter.pause_seconds("1", INSIGHTS) == 0


@pytest.mark.parametrize(
    ("code", "blocked", "free"),
    [
        (17, [("1", INSIGHTS), ("1", MANAGEMENT)], [("2", INSIGHTS)]),
        (613, [("1", INSIGHTS), ("1", MANAGEMENT)], [("2", INSIGHTS)]),
        (80000, [("1", INSIGHTS)], [("1", MANAGEMENT), ("2", INSIGHTS)]),
        (4, [("1", INSIGHTS), ("1", MANAGEMENT), ("2", INSIGHTS), (None, MANAGEMENT)], []),
    ],
)
def test_a_block_holds_what_the_code_says(
    code: int, blocked: list, free: list, clock: VirtualClock
) -> None:
    for place in blocked:
        rate_limiter = UsageRateLimiter(clock=clock, sleep=clock.sleep)
        rate_limiter.after_call("1", INSIGHTS, Usage(), limit(code, 5))
        assert wait_of(rate_limiter, clock, *place) == pytest.approx(300)
    for place in free:
        rate_limiter = UsageRateLimiter(clock=clock, sleep=clock.sleep)
        rate_limiter.after_call("1", INSIGHTS, Usage(), limit(code, 5))
        assert wait_of(rate_limiter, clock, *place) == 0


def test_without_a_hint_the_block_doubles(
    rate_limiter: UsageRateLimiter, clock: VirtualClock
) -> None:
    waits = []
    for _ in range(7):
        rate_limiter.after_call("1", INSIGHTS, Usage(), limit(17))
        waits.append(wait_of(rate_limiter, clock, "1", INSIGHTS))
    assert waits == pytest.approx([30, 60, 120, 240, 480, 600, 600])
    rate_limiter.after_call("1", INSIGHTS, Usage(), None)
    rate_limiter.after_call("1", INSIGHTS, Usage(), limit(17))
    assert wait_of(rate_limiter, clock, "1", INSIGHTS) == pytest.approx(30)


def test_a_block_longer_than_patience_is_an_error_at_once(
    rate_limiter: UsageRateLimiter, clock: VirtualClock
) -> None:
    rate_limiter.after_call("1", INSIGHTS, Usage(), limit(17, 90))
    before = clock()
    with pytest.raises(MetaApiError) as caught:
        rate_limiter.before_call("1", INSIGHTS)
    assert caught.value.kind is ErrorKind.RATE_LIMIT
    assert caught.value.retry_after_seconds == pytest.approx(5400)
    assert clock() == before


def test_after_a_block_one_call_probes_and_the_rest_wait_for_it() -> None:
    """Real threads on the real clock: a block of 0.1 s, eight callers, two blocks in a row."""
    rate_limiter = UsageRateLimiter()
    rate_limiter.after_call("1", INSIGHTS, Usage(), limit(17, 0.1 / 60))
    events: list[tuple[float, str]] = []
    lock = threading.Lock()
    answers = [limit(17, 0.1 / 60)]

    def caller() -> None:
        while True:
            rate_limiter.before_call("1", INSIGHTS)
            with lock:
                events.append((time.monotonic(), "call"))
                answer = answers.pop() if answers else None
            time.sleep(0.05)
            rate_limiter.after_call("1", INSIGHTS, Usage(), answer)
            if answer is None:
                return

    threads = [threading.Thread(target=caller) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    times = [moment for moment, _ in events]
    assert len(times) == 9  # the failed probe, the successful one, and the other seven
    assert times[1] - times[0] > 0.1  # nobody called while the probe was out or blocked
    assert times[2] - times[1] > 0.04


def test_a_probe_that_fails_otherwise_lets_the_next_one_probe(
    rate_limiter: UsageRateLimiter, clock: VirtualClock
) -> None:
    rate_limiter.after_call("1", INSIGHTS, Usage(), limit(17, 1))
    assert wait_of(rate_limiter, clock, "1", INSIGHTS) == pytest.approx(60)
    rate_limiter.after_call(
        "1", INSIGHTS, Usage(), error_from_envelope({"code": 2}, http_status=500)
    )
    assert wait_of(rate_limiter, clock, "1", INSIGHTS) == 0


def test_usage_of_other_use_cases_does_not_count() -> None:
    usage = Usage(use_cases=(UseCaseUsage("1", "ads_management", 99, 0),))
    assert usage.percent(INSIGHTS, "1") == 0
    assert usage.percent(MANAGEMENT, "1") == 99
