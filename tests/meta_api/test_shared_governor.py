"""The shared budget: smooth, in order of priority, one probe per hint in all processes, capped."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.control.alerts import open_alerts
from meta_ads_pipeline.control.call_budget import BudgetKey
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.meta_api.error_rules import NETWORK
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError, error_from_envelope
from meta_ads_pipeline.meta_api.limits import BudgetRules
from meta_ads_pipeline.meta_api.priority import (
    Priority,
    calls_of_priority,
    carried,
    current_priority,
)
from meta_ads_pipeline.meta_api.shared_governor import PostgresGovernor
from meta_ads_pipeline.meta_api.usage import Usage, UseCase, UseCaseUsage, parse_usage
from tests.meta_api.conftest import VirtualClock

INSIGHTS, MANAGEMENT = UseCase.INSIGHTS, UseCase.MANAGEMENT
DEVELOPMENT = "development_access"

MakeGovernor = Callable[..., PostgresGovernor]


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
        regain_seconds=seconds,
    )


@pytest.fixture
def make(database: Database, clock: VirtualClock) -> MakeGovernor:
    """Governors of one app, as processes of their own would have them."""

    def make(connection: str = "c1", **rules: float) -> PostgresGovernor:
        return PostgresGovernor(
            database,
            app="app",
            connection_id=connection,
            rules=BudgetRules(**rules),  # type: ignore[arg-type]
            clock=clock,
            sleep=clock.sleep,
        )

    return make


@pytest.fixture
def clock() -> VirtualClock:
    clock = VirtualClock()
    clock.now = 1_760_000_000.0
    return clock


def call(
    governor: PostgresGovernor,
    clock: VirtualClock,
    account: str | None = "1",
    use_case: UseCase = INSIGHTS,
    usage: Usage | None = None,
    error: MetaApiError | None = None,
    calls: int = 1,
) -> float:
    """One call; how long it had to wait."""
    before = clock()
    governor.before_call(account, use_case, calls)
    waited = clock() - before
    governor.after_call(account, use_case, usage or Usage(), error, calls)
    return waited


@given(st.lists(st.floats(0, 1.2), min_size=2, max_size=2), st.floats(1, 3600))
def test_pauses_grow_without_a_step(loads: list[float], span: float) -> None:
    rules = BudgetRules()
    low, high = sorted(loads)
    assert 0 <= rules.pause(low, span) <= rules.pause(high, span) <= min(60.0, span / 60)
    assert rules.pause(min(low + 0.01, 1), span) - rules.pause(min(low, 1), span) < 5


def test_calls_are_spaced_wider_and_wider_up_to_the_ceiling(
    make: MakeGovernor, clock: VirtualClock
) -> None:
    """A limit of 1,000 calls an hour, counted by the test as Meta would."""
    governor = make()
    moments: list[float] = []

    def percent() -> float:
        return sum(moment > clock() - 3600 for moment in moments) / 10

    gaps = []
    while len(moments) < 1500:
        gaps.append(call(governor, clock, usage=Usage(insights_account_percent=percent())))
        moments.append(clock())
        assert percent() <= 90.1
    assert max(gaps[:500]) == 0  # nothing waits while there is plenty
    assert sum(gaps[850:900]) > sum(gaps[700:750]) > sum(gaps[560:610])
    # In the long run it keeps the rate that Meta allows, without a long stop anywhere.
    assert max(gaps) <= 60
    assert percent() > 70


def test_lower_priorities_stop_earlier_and_leave_headroom(
    make: MakeGovernor, clock: VirtualClock
) -> None:
    governor = make()
    call(governor, clock, usage=Usage(insights_account_percent=79))
    waits = {}
    for priority in Priority:
        with calls_of_priority(priority):
            governor._store.claim_pace(BudgetKey("app", "1", "ads_insights"), 0.0, 0.0)
            before = clock()
            wait = governor._wait("1", INSIGHTS, 1, priority)
            clock.now = before
            waits[priority] = wait
    assert waits[Priority.TODAY] < waits[Priority.YESTERDAY] < waits[Priority.RESTATEMENT]
    assert waits[Priority.RESTATEMENT] < waits[Priority.BACKFILL]
    # 79 % is over what a backfill may use (63 %): it stops until the hour has moved on.
    assert waits[Priority.BACKFILL] > 600


def test_another_process_knows_within_a_second(make: MakeGovernor, clock: VirtualClock) -> None:
    one, other = make(), make("c2")
    assert call(other, clock) == 0
    call(one, clock, usage=Usage(insights_account_percent=95))
    one.flush()
    clock.now += 1.1
    assert call(other, clock) > 60
    assert call(other, clock, account="2") == 0
    assert call(other, clock, use_case=MANAGEMENT) == 0


def test_units_of_the_headers(make: MakeGovernor, clock: VirtualClock, database: Database) -> None:
    """An account's score resets in seconds; a use case regains in minutes."""
    governor = make()
    usage = parse_usage(
        {
            "X-App-Usage": '{"call_count":28,"total_time":25,"total_cputime":25}',
            "X-Ad-Account-Usage": '{"acc_id_util_pct":88.5,"reset_time_duration":100,'
            '"ads_api_access_tier":"standard_access"}',
            "X-Business-Use-Case-Usage": '{"1":[{"type":"ads_insights","call_count":40,'
            '"total_cputime":20,"total_time":20,"estimated_time_to_regain_access":2}]}',
            "X-FB-Ads-Insights-Throttle": '{"app_id_util_pct":11,"acc_id_util_pct":50}',
        }
    )
    assert usage.regain_seconds(INSIGHTS, "1") == 120
    call(governor, clock, usage=usage)
    governor.flush()
    with database.connect() as connection:
        rows = connection.execute(
            "select account_id, use_case, percent, span_seconds, tier from control.call_budgets"
            " order by 1, 2"
        ).fetchall()
    assert [tuple(row.values()) for row in rows] == [
        ("", "", 28, 3600, "standard_access"),
        ("", "ads_insights", 11, 3600, "standard_access"),
        ("1", "", 88.5, 100, "standard_access"),
        ("1", "ads_insights", 50, 3600, "standard_access"),
    ]
    # The score frees itself within 100 s: a few seconds' pause, not minutes.
    assert call(governor, clock) < 100 / 60
    clock.now += 101
    assert call(governor, clock) == 0


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
    error: MetaApiError, blocked: list, free: list, make: MakeGovernor, clock: VirtualClock
) -> None:
    call(make(), clock, error=error)
    for account, use_case in free:
        assert call(make(), clock, account, use_case) == 0
    for account, use_case in blocked[:1]:
        assert call(make(), clock, account, use_case) == pytest.approx(300, abs=1)
    for account, use_case in blocked[1:]:  # the first one's success has ended it for all
        assert call(make(), clock, account, use_case) == 0


def test_only_one_process_probes_and_the_others_wait_for_its_answer(
    make: MakeGovernor, clock: VirtualClock
) -> None:
    one, other, third = make(), make(), make()
    call(one, clock, error=limit(17, 300))
    clock.now += 301
    assert one._wait("1", INSIGHTS, 1, Priority.TODAY) == 0
    assert other._wait("1", INSIGHTS, 1, Priority.TODAY) > 0
    one.after_call("1", INSIGHTS, Usage(), limit(17, 300))
    assert other._wait("1", INSIGHTS, 1, Priority.TODAY) == pytest.approx(300, abs=1)
    clock.now += 301
    assert third._wait("1", INSIGHTS, 1, Priority.TODAY) == 0
    third.after_call("1", INSIGHTS, Usage(), None)
    clock.now += 1.1
    assert call(one, clock) == call(other, clock) == 0


def test_a_killed_prober_s_right_ends_by_itself(make: MakeGovernor, clock: VirtualClock) -> None:
    killed, other = make(), make()
    call(killed, clock, error=limit(17, 300))
    clock.now += 301
    killed.before_call("1", INSIGHTS)
    assert 100 < call(other, clock) < 200


def test_a_probe_without_an_answer_is_no_proof(make: MakeGovernor, clock: VirtualClock) -> None:
    governor = make()
    call(governor, clock, error=limit(17, 300))
    assert call(governor, clock, error=MetaApiError(NETWORK)) == pytest.approx(300, abs=1)
    assert call(make(), clock) == pytest.approx(30, abs=2)


def test_what_was_under_way_when_the_block_began_ends_no_block_and_doubles_none(
    make: MakeGovernor, clock: VirtualClock
) -> None:
    governor = make()
    started, let_go = threading.Barrier(4), threading.Event()

    def under_way(error: MetaApiError | None) -> None:
        governor.before_call("1", INSIGHTS)
        started.wait()
        let_go.wait()
        governor.after_call("1", INSIGHTS, Usage(), error)

    threads = [
        threading.Thread(target=under_way, args=(error,)) for error in (limit(17), limit(17), None)
    ]
    for thread in threads:
        thread.start()
    started.wait()
    clock.now += 1
    governor.after_call("1", INSIGHTS, Usage(), limit(17))
    let_go.set()
    for thread in threads:
        thread.join()
    assert call(make(), clock, error=limit(17)) == pytest.approx(30, abs=1)
    assert call(make(), clock) == pytest.approx(60, abs=1)


def test_too_long_a_wait_is_an_error_at_once_that_no_layer_retries(
    make: MakeGovernor, clock: VirtualClock
) -> None:
    governor = make()
    call(governor, clock, error=limit(17, 5400))
    before = clock()
    with pytest.raises(MetaApiError) as caught:
        governor.before_call("1", INSIGHTS)
    assert caught.value.kind is ErrorKind.RATE_LIMIT
    assert caught.value.action.value == "park"
    assert caught.value.regain_seconds == pytest.approx(5400)
    assert clock() == before


def test_the_hourly_cap_of_the_development_tier_is_hard(
    make: MakeGovernor, clock: VirtualClock, database: Database
) -> None:
    """Two processes, one token: 180 calls in any sixty minutes, however they begin."""
    governors = [make(), make()]
    moments: list[float] = []
    usage = Usage(insights_account_percent=1, tier=DEVELOPMENT)
    while len(moments) < 420:
        for governor in governors:
            call(governor, clock, usage=usage)
            moments.append(clock())
    for moment in moments:
        assert sum(moment <= other < moment + 3600 for other in moments) <= 180
    # Not a burst and a stop: the first hundred at once, then ever wider gaps.
    gaps = [b - a for a, b in itertools.pairwise(moments)]
    assert max(gaps[:90]) == 0
    assert max(gaps) <= 420
    assert len(moments) / ((moments[-1] - moments[0]) / 3600) > 150
    for governor in governors:
        governor.flush()
    assert spent(database) == (420, 0)
    assert call(make("c2"), clock) == 0  # another token has its own


def test_the_cap_leaves_room_for_higher_priorities(make: MakeGovernor, clock: VirtualClock) -> None:
    governor = make(calls_per_hour=100, slow_from=0.99)
    with calls_of_priority(Priority.BACKFILL):
        for _ in range(70):
            assert call(governor, clock) == 0
        assert governor._wait("1", INSIGHTS, 1, Priority.BACKFILL) > 3000
    for _ in range(29):
        assert governor._wait("1", INSIGHTS, 1, Priority.TODAY) == 0
    assert governor._take("1", INSIGHTS, 2, Priority.TODAY, clock()) > 3000


def test_standard_tier_has_no_cap_and_zero_turns_it_off() -> None:
    assert BudgetRules().cap(DEVELOPMENT) == 180
    assert BudgetRules().cap("standard_access") is None
    assert BudgetRules().cap(None) is None
    assert BudgetRules(calls_per_hour=0).cap(DEVELOPMENT) is None
    assert BudgetRules(calls_per_hour=50).cap("standard_access") == 50


def test_ninety_percent_is_logged_and_alerted_once_and_taken_back(
    make: MakeGovernor,
    clock: VirtualClock,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    governor, other = make(), make()
    full = Usage(use_cases=(UseCaseUsage("1", "ads_insights", 92, 0),))
    governor.after_call("1", INSIGHTS, full, None)
    governor.after_call("1", INSIGHTS, full, None)
    clock.now += 2
    other._look("1", [], clock())
    other.after_call("1", INSIGHTS, full, None)
    (alert,) = open_alerts(database)
    assert alert.alert.subject == "ad account act_1 (ads_insights)"
    assert "92 %" in alert.alert.message
    assert alert.times_raised == 1
    assert [r.levelname for r in caplog.records if "92 %" in r.message] == ["WARNING"]
    less = Usage(use_cases=(UseCaseUsage("1", "ads_insights", 85, 0),))
    governor.after_call("1", INSIGHTS, less, None)
    assert len(open_alerts(database)) == 1  # no flapping around the mark
    less = Usage(use_cases=(UseCaseUsage("1", "ads_insights", 60, 0),))
    governor.after_call("1", INSIGHTS, less, None)
    assert open_alerts(database) == []


def test_calls_and_waste_are_counted_as_meta_counts_and_written_together(
    make: MakeGovernor, clock: VirtualClock, database: Database
) -> None:
    governor = make()
    call(governor, clock)
    for _ in range(20):
        call(governor, clock, error=error_from_envelope({"code": 2}, http_status=500))
    call(governor, clock, calls=50)
    assert spent(database) == (1, 0)  # the first was written at once, the rest waits for its second
    clock.now += 1
    call(governor, clock)
    assert spent(database) == (72, 20)


def test_the_counts_of_a_process_are_kept_when_it_ends(database: Database) -> None:
    program = (
        "from meta_ads_pipeline.control.database import Database\n"
        "from meta_ads_pipeline.meta_api.shared_governor import PostgresGovernor\n"
        "from meta_ads_pipeline.meta_api.usage import Usage, UseCase\n"
        f"g = PostgresGovernor(Database({database.url!r}), app='a', connection_id='c1')\n"
        "for _ in range(7):\n"
        "    g.before_call('1', UseCase.INSIGHTS)\n"
        "    g.after_call('1', UseCase.INSIGHTS, Usage(), None)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert spent(database) == (7, 0)


def test_eight_threads_behind_a_block_make_one_call(database: Database) -> None:
    """Real threads in two governors on the real clock: a block of 0.3 s, twice in a row."""
    rules = BudgetRules(seconds_between_reads=0.02)
    governors = [
        PostgresGovernor(database, app="app", connection_id="c1", rules=rules) for _ in range(2)
    ]
    governors[0].after_call("1", INSIGHTS, Usage(), limit(17, 0.3))
    answers, made, lock = [limit(17, 0.3)], [], threading.Lock()

    def caller(governor: PostgresGovernor) -> None:
        while True:
            governor.before_call("1", INSIGHTS)
            with lock:
                answer = answers.pop() if answers else None
                made.append(answer)
            threading.Event().wait(0.1)
            governor.after_call("1", INSIGHTS, Usage(), answer)
            if answer is None:
                return

    threads = [threading.Thread(target=caller, args=(governors[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(made) == 9  # the failed probe, then everyone once


def test_a_database_that_went_away_and_came_back_is_used_again(
    make: MakeGovernor, clock: VirtualClock, database: Database
) -> None:
    governor = make()
    call(governor, clock)
    with database.connect(autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'meta-ads call budget' and datname = current_database()"
        )
    clock.now += 2
    assert call(governor, clock) == 0


def test_priority_goes_along_into_other_threads() -> None:
    with ThreadPoolExecutor(1) as pool, calls_of_priority(Priority.BACKFILL):
        assert pool.submit(carried(current_priority)).result() is Priority.BACKFILL
        assert pool.submit(current_priority).result() is Priority.TODAY
