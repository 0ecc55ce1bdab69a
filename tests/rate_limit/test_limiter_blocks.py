"""Blocks: as wide as the code says, one probe per hint in all processes."""

from __future__ import annotations

import json
import threading

import pytest

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.meta_api.error_rules import NETWORK
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError
from meta_ads_pipeline.meta_api.usage import Usage, parse_usage
from meta_ads_pipeline.rate_limit.limiter import PostgresRateLimiter
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from tests.rate_limit.limiters import (
    INSIGHTS,
    MANAGEMENT,
    MakeRateLimiter,
    call,
    limit,
    wait_of,
)
from tests.virtual_clock import VirtualClock


@pytest.mark.parametrize(
    ("error", "blocked", "free"),
    [
        (limit(17, 300), [("1", INSIGHTS), ("1", MANAGEMENT)], [("2", INSIGHTS), (None, INSIGHTS)]),
        (limit(80000, 300), [("1", INSIGHTS)], [("1", MANAGEMENT), ("2", INSIGHTS)]),
        (limit(4, 300), [("1", INSIGHTS), ("2", MANAGEMENT), (None, MANAGEMENT)], []),
        (limit(4, 300, 1504022), [("1", INSIGHTS), ("2", INSIGHTS)], [("1", MANAGEMENT)]),
    ],
)
def test_a_block_holds_what_the_code_says_in_every_process(
    error: MetaApiError,
    blocked: list,
    free: list,
    make_rate_limiter: MakeRateLimiter,
    clock: VirtualClock,
) -> None:
    call(make_rate_limiter(), clock, error=error)
    for account, use_case in free:
        assert call(make_rate_limiter(), clock, account, use_case) == 0
    for account, use_case in blocked[:1]:
        assert call(make_rate_limiter(), clock, account, use_case) == pytest.approx(300, abs=1)
    for account, use_case in blocked[1:]:  # the first one's success has ended it for all
        assert call(make_rate_limiter(), clock, account, use_case) == 0


def test_only_one_process_probes_and_the_others_wait_for_its_answer(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock
) -> None:
    one, other, third = make_rate_limiter(), make_rate_limiter(), make_rate_limiter()
    call(one, clock, error=limit(17, 300))
    clock.now += 301
    one.before_call("1", INSIGHTS)
    assert wait_of(other) > 0
    one.after_call("1", INSIGHTS, Usage(), limit(17, 300))
    assert wait_of(other) == pytest.approx(300, abs=1)
    clock.now += 301
    third.before_call("1", INSIGHTS)
    third.after_call("1", INSIGHTS, Usage(), None)
    clock.now += 1.1
    assert call(one, clock) == call(other, clock) == 0


def test_a_killed_prober_s_right_ends_by_itself(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock
) -> None:
    killed, other = make_rate_limiter(), make_rate_limiter()
    call(killed, clock, error=limit(17, 300))
    clock.now += 301
    killed.before_call("1", INSIGHTS)
    assert 100 < call(other, clock) < 200


def test_a_probe_without_an_answer_is_no_proof(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock
) -> None:
    rate_limiter = make_rate_limiter()
    call(rate_limiter, clock, error=limit(17, 300))
    assert call(rate_limiter, clock, error=MetaApiError(NETWORK)) == pytest.approx(300, abs=1)
    assert call(make_rate_limiter(), clock) == pytest.approx(30, abs=2)


def test_what_was_under_way_when_the_block_began_ends_no_block_and_doubles_none(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock
) -> None:
    rate_limiter = make_rate_limiter()
    started, let_go = threading.Barrier(4), threading.Event()

    def under_way(error: MetaApiError | None) -> None:
        rate_limiter.before_call("1", INSIGHTS)
        started.wait()
        let_go.wait()
        rate_limiter.after_call("1", INSIGHTS, Usage(), error)

    threads = [
        threading.Thread(target=under_way, args=(error,)) for error in (limit(17), limit(17), None)
    ]
    for thread in threads:
        thread.start()
    started.wait()
    clock.now += 1
    rate_limiter.after_call("1", INSIGHTS, Usage(), limit(17))
    let_go.set()
    for thread in threads:
        thread.join()
    assert call(make_rate_limiter(), clock, error=limit(17)) == pytest.approx(30, abs=1)
    assert call(make_rate_limiter(), clock) == pytest.approx(60, abs=1)


def test_too_long_a_wait_is_an_error_at_once_that_no_layer_retries(
    make_rate_limiter: MakeRateLimiter, clock: VirtualClock
) -> None:
    rate_limiter = make_rate_limiter()
    call(rate_limiter, clock, error=limit(17, 5400))
    before = clock()
    with pytest.raises(MetaApiError) as caught:
        rate_limiter.before_call("1", INSIGHTS)
    assert caught.value.kind is ErrorKind.RATE_LIMIT
    assert caught.value.action.value == "park"
    assert caught.value.retry_after_seconds == pytest.approx(5400)
    assert clock() == before


@pytest.mark.parametrize("hint", [1_760_000_000, 10**18, 1e300, "1760000000", 1441, 60])
def test_an_absurd_hint_blocks_for_an_hour_and_then_one_call_tries(
    hint: object, make_rate_limiter: MakeRateLimiter, clock: VirtualClock
) -> None:
    """A Unix time, say, read as minutes: no process would ever have called again."""
    entry = {"type": "ads_insights", "estimated_time_to_regain_access": hint}
    usage = parse_usage({"X-Business-Use-Case-Usage": json.dumps({"1": [entry]})})
    error = limit(80000, usage.retry_after_seconds(INSIGHTS, "1"))
    call(make_rate_limiter(), clock, usage=usage, error=error)
    clock.now += 3599
    assert wait_of(make_rate_limiter()) == pytest.approx(1, abs=0.1)
    clock.now += 1.1
    assert call(make_rate_limiter(), clock) == 0


@pytest.mark.parametrize("hint", [1_760_000_000, 10**400, 1e300, "1e300", -5, "NaN", None])
def test_an_absurd_reset_spaces_calls_for_an_hour_at_most(
    hint: object, make_rate_limiter: MakeRateLimiter, clock: VirtualClock
) -> None:
    header = json.dumps({"acc_id_util_pct": 100, "reset_time_duration": hint})
    call(make_rate_limiter(), clock, usage=parse_usage({"X-Ad-Account-Usage": header}))
    assert 0 < wait_of(make_rate_limiter()) <= 3600
    clock.now += 3601
    assert wait_of(make_rate_limiter()) == 0


def test_eight_threads_behind_a_block_make_one_call(database: Database) -> None:
    """Real threads in two limiters on the real clock: a block of 0.3 s, twice in a row."""
    rules = BudgetRules(seconds_between_reads=0.02)
    limiters = [
        PostgresRateLimiter(database, app="app", connection_id="c1", rules=rules) for _ in range(2)
    ]
    limiters[0].after_call("1", INSIGHTS, Usage(), limit(17, 0.3))
    answers, made, lock = [limit(17, 0.3)], [], threading.Lock()

    def caller(rate_limiter: PostgresRateLimiter) -> None:
        while True:
            rate_limiter.before_call("1", INSIGHTS)
            with lock:
                answer = answers.pop() if answers else None
                made.append(answer)
            threading.Event().wait(0.1)
            rate_limiter.after_call("1", INSIGHTS, Usage(), answer)
            if answer is None:
                return

    threads = [threading.Thread(target=caller, args=(limiters[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(made) == 9  # the failed probe, then everyone once
