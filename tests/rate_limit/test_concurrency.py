"""Calls in flight: bounded over all processes, shared fairly, free again when one is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.meta_api.usage import Usage, UseCase
from meta_ads_pipeline.rate_limit.concurrency import SharedSlots
from meta_ads_pipeline.rate_limit.store import CallBudgetStore
from tests.rate_limit.limiters import MakeRateLimiter
from tests.virtual_clock import VirtualClock

# Each thread makes calls; one in flight holds a lock of its own session, so that others can count.
WORKER = """
import sys, threading, time
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from meta_ads_pipeline.rate_limit.limiter import PostgresRateLimiter
from meta_ads_pipeline.meta_api.usage import Usage, UseCase

url, account, threads, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
database = Database(url)
rules = BudgetRules(calls_in_flight=4, calls_in_flight_per_account=3)
rate_limiter = PostgresRateLimiter(database, app="app", connection_id="c", rules=rules)

def work():
    with database.connect(autocommit=True) as session:
        while True:
            rate_limiter.before_call(account, UseCase.INSIGHTS)
            session.execute("select pg_advisory_lock_shared(77, %s::int)", [account])
            time.sleep(seconds)
            session.execute("select pg_advisory_unlock_shared(77, %s::int)", [account])
            rate_limiter.after_call(account, UseCase.INSIGHTS, Usage(), None)

for _ in range(threads):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
time.sleep(120)
"""

Start = Callable[[str, int, float], "subprocess.Popen[str]"]


@pytest.fixture
def start(database: Database) -> Iterator[Start]:
    """Start a process: account, threads, seconds a call."""
    running: list[subprocess.Popen[str]] = []

    def start(account: str, threads: int, seconds: float) -> subprocess.Popen[str]:
        arguments = [database.url, account, str(threads), str(seconds)]
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments], stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in running:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


class Watch:
    """Counts the calls in flight: the locks that workers hold, by account."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.most = 0

    def until(self, seconds: float, enough: Callable[[dict[str, int]], bool]) -> bool:
        """Look again and again until there is enough or the time is up."""
        deadline = time.monotonic() + seconds
        with self._database.connect(autocommit=True) as session:
            while time.monotonic() < deadline:
                rows = session.execute(
                    "select objid::text as account, count(*)::int as calls from pg_locks"
                    " where locktype = 'advisory' and classid = 77 and granted"
                    " and database = (select oid from pg_database where datname ="
                    "   current_database()) group by 1"
                ).fetchall()
                flying = {row["account"]: row["calls"] for row in rows}
                self.most = max(self.most, sum(flying.values()))
                assert self.most <= 4
                assert all(calls <= 3 for calls in flying.values())
                if enough(flying):
                    return True
                time.sleep(0.005)
        return False


def test_two_processes_keep_to_the_bounds_and_a_killed_one_s_places_are_free_at_once(
    database: Database, start: Start
) -> None:
    watch = Watch(database)
    killed = start("1", 6, 60.0)  # all that one account may have, in calls that do not end
    assert watch.until(10, lambda flying: flying == {"1": 3})
    start("2", 6, 0.05)
    assert watch.until(10, lambda flying: flying.get("2") == 1)
    assert not watch.until(1.5, lambda flying: sum(flying.values()) > 4)
    killed.kill()
    killed.wait()
    assert watch.until(5, lambda flying: flying == {"2": 3})
    start("1", 6, 0.05)
    # Both are busy without end: neither is shut out, together they never have more than four.
    assert watch.until(20, lambda flying: min(flying.get("1", 0), flying.get("2", 0)) > 0)
    assert not watch.until(1.5, lambda flying: sum(flying.values()) > 4)
    assert watch.most == 4


@pytest.fixture
def make_slots(database: Database, clock: VirtualClock) -> Callable[..., SharedSlots]:
    def make(per_app: int = 12, per_account: int = 6) -> SharedSlots:
        return SharedSlots(
            CallBudgetStore(database), "app", per_app=per_app, per_account=per_account, clock=clock
        )

    return make


def test_an_account_cannot_take_what_the_app_has(make_slots: Callable[..., SharedSlots]) -> None:
    slots = make_slots(per_app=3, per_account=2)
    assert [slots.take("1") for _ in range(2)] == [0, 0]
    assert slots.take("1") > 0
    assert slots.take("2") == 0
    assert slots.take("2") > 0
    slots.give_back("1")
    assert slots.take("2") == 0


def test_an_idle_process_keeps_nothing_that_others_want(
    make_slots: Callable[..., SharedSlots], clock: VirtualClock
) -> None:
    one, other = make_slots(per_app=4, per_account=4), make_slots(per_app=4, per_account=4)
    assert [one.take("1") for _ in range(4)] == [0] * 4
    assert other.take("1") > 0
    clock.now += 1
    for _ in range(4):
        one.give_back("1")
    assert [other.take("1") for _ in range(4)] == [0] * 4


def test_places_are_handed_over_as_calls_end(
    make_slots: Callable[..., SharedSlots], clock: VirtualClock
) -> None:
    """The busy one gives back down to a fair share, though it always has more calls to make."""
    one, other = make_slots(per_app=4, per_account=4), make_slots(per_app=4, per_account=4)
    assert [one.take("1") for _ in range(4)] == [0] * 4
    held = 0
    for _ in range(6):
        clock.now += 1.1
        held += other.take("1") == 0
        one.give_back("1")
        one.take("1")
    assert held == 2  # a fair half
    with one._store.closing():
        pass
    for _ in range(100):  # its session ends, and with it what it held
        clock.now += 1.1
        if other.take("1") == 0:
            return
        time.sleep(0.02)
    raise AssertionError("the places of an ended session were not freed")


def test_calls_one_after_the_other_ask_once_a_second(
    database: Database, make_rate_limiter: MakeRateLimiter, clock: VirtualClock
) -> None:
    rate_limiter = make_rate_limiter()
    asked = []
    run = rate_limiter._slots._store.run
    rate_limiter._slots._store.run = lambda work: asked.append(clock()) or run(work)  # type: ignore

    def count_slots() -> int:
        with database.connect() as session:
            row = session.execute(
                "select coalesce(max(granted), 0)::int as most from control.call_slots"
            ).fetchone()
        assert row is not None
        return int(row["most"])

    for _ in range(100):
        rate_limiter.before_call("1", UseCase.INSIGHTS)
        clock.now += 0.1
        rate_limiter.after_call("1", UseCase.INSIGHTS, Usage(), None)
    assert count_slots() == 1
    # Ten seconds: slots, readings and counts, each once a second.
    assert len(asked) <= 3 * 11 + 2
