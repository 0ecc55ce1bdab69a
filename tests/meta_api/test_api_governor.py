"""The governor: slows smoothly, waits out a block, probes it with one call."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError, error_from_envelope
from meta_ads_pipeline.meta_api.governor import UsageGovernor
from meta_ads_pipeline.meta_api.usage import Usage, UseCase, UseCaseUsage
from tests.meta_api.clock import VirtualClock

INSIGHTS, MANAGEMENT = UseCase.INSIGHTS, UseCase.MANAGEMENT


def limit(code: int, minutes: float | None = None, account: str = "1") -> MetaApiError:
    seconds = None if minutes is None else minutes * 60
    return error_from_envelope(
        {"code": code, "message": "limit"},
        http_status=400,
        account_id=account,
        regain_seconds=seconds,
    )


@pytest.fixture
def governor(clock: VirtualClock) -> UsageGovernor:
    return UsageGovernor(clock=clock, sleep=clock.sleep)


def wait_of(governor: UsageGovernor, clock: VirtualClock, account: str, use_case: UseCase) -> float:
    before = clock()
    governor.before_call(account, use_case)
    return clock() - before


@given(st.lists(st.floats(0, 150), min_size=2, max_size=2))
def test_the_pause_grows_with_usage_without_a_step(percents: list[float]) -> None:
    clock = VirtualClock()
    low, high = sorted(percents)

    def pause(percent: float) -> float:
        governor = UsageGovernor(clock=clock, sleep=clock.sleep)
        governor.after_call("1", INSIGHTS, Usage(insights_account_percent=percent), None)
        return governor.pause_seconds("1", INSIGHTS)

    assert 0 <= pause(low) <= pause(high) <= 60
    # No cliff: one percent more never costs more than a few seconds.
    assert pause(min(low + 1, 100)) - pause(min(low, 100)) < 60 * 3 / 25 + 0.1


def test_nothing_waits_below_the_threshold(governor: UsageGovernor, clock: VirtualClock) -> None:
    governor.after_call("1", INSIGHTS, Usage(app_percent=75), None)
    assert wait_of(governor, clock, "1", INSIGHTS) == 0
    governor.after_call("1", INSIGHTS, Usage(app_percent=95), None)
    assert 20 < wait_of(governor, clock, "1", INSIGHTS) < 40
    assert wait_of(governor, clock, "1", MANAGEMENT) == 0
    assert wait_of(governor, clock, "2", INSIGHTS) == 0


def test_a_reading_fades_and_a_silent_answer_keeps_it(
    governor: UsageGovernor, clock: VirtualClock
) -> None:
    governor.after_call("1", INSIGHTS, Usage(app_percent=100), None)
    governor.after_call("1", INSIGHTS, Usage(), None)
    assert governor.pause_seconds("1", INSIGHTS) == 60
    clock.now += 600
    assert 0 < governor.pause_seconds("1", INSIGHTS) < 20
    clock.now += 600
    assert governor.pause_seconds("1", INSIGHTS) == 0


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
        governor = UsageGovernor(clock=clock, sleep=clock.sleep)
        governor.after_call("1", INSIGHTS, Usage(), limit(code, 5))
        assert wait_of(governor, clock, *place) == pytest.approx(300)
    for place in free:
        governor = UsageGovernor(clock=clock, sleep=clock.sleep)
        governor.after_call("1", INSIGHTS, Usage(), limit(code, 5))
        assert wait_of(governor, clock, *place) == 0


def test_without_a_hint_the_block_doubles(governor: UsageGovernor, clock: VirtualClock) -> None:
    waits = []
    for _ in range(7):
        governor.after_call("1", INSIGHTS, Usage(), limit(17))
        waits.append(wait_of(governor, clock, "1", INSIGHTS))
    assert waits == pytest.approx([30, 60, 120, 240, 480, 600, 600])
    governor.after_call("1", INSIGHTS, Usage(), None)
    governor.after_call("1", INSIGHTS, Usage(), limit(17))
    assert wait_of(governor, clock, "1", INSIGHTS) == pytest.approx(30)


def test_a_block_longer_than_patience_is_an_error_at_once(
    governor: UsageGovernor, clock: VirtualClock
) -> None:
    governor.after_call("1", INSIGHTS, Usage(), limit(17, 90))
    before = clock()
    with pytest.raises(MetaApiError) as caught:
        governor.before_call("1", INSIGHTS)
    assert caught.value.kind is ErrorKind.RATE_LIMIT
    assert caught.value.regain_seconds == pytest.approx(5400)
    assert clock() == before


def test_after_a_block_one_call_probes_and_the_rest_wait_for_it() -> None:
    """Real threads on the real clock: a block of 0.1 s, eight callers, two blocks in a row."""
    governor = UsageGovernor()
    governor.after_call("1", INSIGHTS, Usage(), limit(17, 0.1 / 60))
    events: list[tuple[float, str]] = []
    lock = threading.Lock()
    answers = [limit(17, 0.1 / 60)]

    def caller() -> None:
        while True:
            governor.before_call("1", INSIGHTS)
            with lock:
                events.append((time.monotonic(), "call"))
                answer = answers.pop() if answers else None
            time.sleep(0.05)
            governor.after_call("1", INSIGHTS, Usage(), answer)
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
    governor: UsageGovernor, clock: VirtualClock
) -> None:
    governor.after_call("1", INSIGHTS, Usage(), limit(17, 1))
    assert wait_of(governor, clock, "1", INSIGHTS) == pytest.approx(60)
    governor.after_call("1", INSIGHTS, Usage(), error_from_envelope({"code": 2}, http_status=500))
    assert wait_of(governor, clock, "1", INSIGHTS) == 0


def test_usage_of_other_use_cases_does_not_count() -> None:
    usage = Usage(use_cases=(UseCaseUsage("1", "ads_management", 99, 0),))
    assert usage.percent(INSIGHTS, "1") == 0
    assert usage.percent(MANAGEMENT, "1") == 99
