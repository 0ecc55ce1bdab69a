"""Accounts side by side: one that waits holds nobody up, and an interrupt ends every wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.waiting import carried, pause, waiting_for_threads
from meta_ads_pipeline.raw.context import SliceReport
from meta_ads_pipeline.raw.fan_out import Pull, pull_side_by_side
from tests.meta_api.scripted_graph import Reply, ScriptedGraph
from tests.raw.one_pull import for_each_account


def accounts(count: int) -> list[Account]:
    return [Account(str(number), "UTC", "EUR") for number in range(count)]


@pytest.mark.parametrize("in_threads", [False, True], ids=["itself", "in-threads"])
@pytest.mark.parametrize("throttled", [6, 60])
def test_accounts_that_wait_give_their_places_to_the_others(
    in_threads: bool, throttled: int
) -> None:
    """All but the last two accounts are throttled; there are two places."""
    healthy = {str(throttled), str(throttled + 1)}
    done: list[str] = []
    healthy_done = threading.Event()

    def wait_for_meta() -> None:
        while not healthy_done.is_set():
            pause(0.01)

    def work(account: Account) -> list[SliceReport]:
        if account.account_id not in healthy:
            if in_threads:
                with ThreadPoolExecutor(2) as readers:
                    reads = [readers.submit(carried(wait_for_meta)) for _ in range(2)]
                    with waiting_for_threads():
                        for read in reads:
                            read.result(timeout=20)
            else:
                wait_for_meta()
        done.append(account.account_id)
        if healthy <= set(done):
            healthy_done.set()
        return []

    result = for_each_account(accounts(throttled + 2), work, max_accounts=2)
    assert result.failures == {}
    assert set(done[:2]) == healthy
    assert len(done) == throttled + 2


def test_no_more_work_than_there_are_places() -> None:
    lock, at_work, most = threading.Lock(), 0, 0

    def work(_account: Account) -> list[SliceReport]:
        nonlocal at_work, most
        for _ in range(3):
            with lock:
                at_work += 1
                most = max(most, at_work)
            time.sleep(0.002)
            with lock:
                at_work -= 1
            pause(0.001)
        return []

    assert for_each_account(accounts(20), work, max_accounts=3).failures == {}
    assert most <= 3


def test_a_failing_account_is_a_failure_of_its_own() -> None:
    def work(account: Account) -> list[SliceReport]:
        if account.account_id == "1":
            raise ValueError("odd")
        return []

    assert set(for_each_account(accounts(4), work, max_accounts=2).failures) == {"1"}


class Interrupted(BaseException):
    """As Dagster raises it in the thread that runs a step."""


@pytest.mark.parametrize("where", ["a pause", "an HTTP exchange"])
def test_an_interrupt_ends_the_wait(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread waits for an hour, or for a host that does not answer."""
    graph = ScriptedGraph()
    graph.handler = lambda _request: Reply({}, delay=20)
    waiting = threading.Barrier(4)
    ended: list[BaseException] = []

    def work(_account: Account) -> list[SliceReport]:
        waiting.wait(10)
        try:
            if where == "a pause":
                pause(3600)
            else:
                with MetaAdsClient(access_token="EAAx", graph_url=graph.url) as client:
                    client.get_accounts()
        except BaseException as error:
            ended.append(error)
            raise
        return []

    class InterruptedQueue:
        """The interrupt comes to the thread that waits for results."""

        def get(self) -> object:
            waiting.wait(10)
            while where != "a pause" and graph.in_flight < 3:
                time.sleep(0.01)
            raise Interrupted

        def put(self, _end: object) -> None:
            """Nobody is there any more."""

    monkeypatch.setattr("meta_ads_pipeline.raw.fan_out.SimpleQueue", InterruptedQueue)
    with pytest.raises(Interrupted):
        for_each_account(accounts(3), work, max_accounts=3)
    for _ in range(500):
        if len(ended) == 3:
            break
        time.sleep(0.01)
    assert [type(each) for each in ended] == [KeyboardInterrupt] * 3
    graph._server.socket.close()


def test_pulls_of_an_account_run_side_by_side_and_tell_when_they_are_over() -> None:
    """Lists are read while hours come; hours wait for days; a result is told at once."""
    seen: list[str] = []
    together = threading.Barrier(2)
    told = threading.Event()

    def pull(name: str) -> Callable[[Account, Callable[[], None]], list[SliceReport]]:
        def work(_account: Account, upstream_over: Callable[[], None]) -> list[SliceReport]:
            if name == "days":
                together.wait(10)
                raise ValueError("odd")
            if name == "list":
                together.wait(10)
                assert told.wait(10), "days are over, and nobody was told"
            upstream_over()
            seen.append(name)
            return []

        return work

    pulls = {
        "days": Pull(pull("days")),
        "hours": Pull(pull("hours"), ["days"]),
        "list": Pull(pull("list"), ["hours"]),
    }
    ends = pull_side_by_side(accounts(1), pulls, max_accounts=1)
    name, pulled = next(ends)
    told.set()
    assert (name, set(pulled.failures)) == ("days", {"0"})
    assert [(name, dict(pulled.failures)) for name, pulled in ends] == [("hours", {}), ("list", {})]
    assert seen == ["hours", "list"]


def test_whoever_stops_listening_ends_the_pulls() -> None:
    ended = threading.Event()

    def wait_for_meta(_account: Account, _upstream_over: Callable[[], None]) -> list[SliceReport]:
        try:
            pause(3600)
        finally:
            ended.set()
        return []

    ends = pull_side_by_side(
        accounts(1), {"quick": Pull(lambda *_: []), "slow": Pull(wait_for_meta)}, max_accounts=1
    )
    assert next(ends)[0] == "quick"
    ends.close()
    assert ended.wait(10)


def test_an_account_that_cannot_begin_ends_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the system gives no more threads: nobody waits for results that never come."""

    def no_more(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("meta_ads_pipeline.raw.fan_out.Place", no_more)
    with pytest.raises(RuntimeError, match="new thread"):
        for_each_account(accounts(2), lambda _: [], max_accounts=2)
