"""The pulls of many accounts, side by side. One's failure is its own: the others are done."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TypeAlias

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.meta_api.waiting import (
    Interruption,
    Place,
    carried,
    waiting_for_threads,
)
from meta_ads_pipeline.raw.context import SliceReport


@dataclass(frozen=True)
class Pull:
    """What is done for each account.

    ``work`` gets the account and a function that returns once the account's pulls that are named in
    ``upstream`` are over. Over is not done: hours are asked for, too, when the days failed.
    """

    work: Callable[[Account, Callable[[], None]], list[SliceReport]]
    upstream: Sequence[str] = ()


@dataclass
class Pulled:
    """What one pull gave: reports of the accounts that succeeded, failures by account id."""

    reports: list[SliceReport] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)


_End: TypeAlias = "tuple[str, Account, list[SliceReport] | Exception] | BaseException"
"""How one pull of an account ended; alone, what ends all of it."""


def pull_side_by_side(
    accounts: Sequence[Account], pulls: Mapping[str, Pull], max_accounts: int
) -> Generator[tuple[str, Pulled]]:
    """Do every pull for every account, at most ``max_accounts`` of them at once.

    Yields a pull's name and results as soon as its last account is over. ``pulls`` are in an order
    in which each comes after those that it names. Raises nothing that a pull raised.

    An account that waits for Meta (``meta_api.waiting``) gives its place to the next one, however
    many wait. An account that failed part way has its landed slices in ``control.slices``, not in
    the reports. When the thread that iterates is interrupted, or leaves the iteration, every wait
    ends and the interrupt is raised at once.
    """
    results: dict[str, Pulled] = {name: Pulled() for name in pulls}
    if not accounts:
        yield from results.items()
        return
    places = threading.Semaphore(max(1, max_accounts))
    interruption = Interruption()
    ends: SimpleQueue[_End] = SimpleQueue()
    # A thread for each account that waits: a wait may be hours, and costs nothing else.
    starter = threading.Thread(
        target=_start, args=(accounts, pulls, places, interruption, ends), daemon=True
    )
    starter.start()
    over: Counter[str] = Counter()
    try:
        for _ in range(len(pulls) * len(accounts)):
            end = ends.get()
            if isinstance(end, BaseException):
                raise end  # noqa: TRY301 - ends everything, as an interrupt of this thread does
            name, account, found = end
            if isinstance(found, list):
                results[name].reports.extend(found)
            else:
                results[name].failures[account.account_id] = found
            over[name] += 1
            if over[name] == len(accounts):
                results[name].reports.sort(key=lambda each: (each.account_id, each.partition_date))
                yield name, results[name]
    except BaseException:
        interruption.interrupt()
        raise
    starter.join()


def _start(
    accounts: Sequence[Account],
    pulls: Mapping[str, Pull],
    places: threading.Semaphore,
    interruption: Interruption,
    ends: SimpleQueue[_End],
) -> None:
    """Begin with an account whenever there is a place; ends at once when it is all interrupted."""
    pool = ThreadPoolExecutor(max_workers=len(accounts), thread_name_prefix="account")
    try:
        for account in accounts:
            while not places.acquire(timeout=0.2):
                interruption.wait(0)
            pool.submit(_pull_account, account, pulls, Place(places, interruption), ends)
    except BaseException as error:  # noqa: BLE001 - told in the thread that iterates
        ends.put(error)
    pool.shutdown(wait=False)


def _pull_account(
    account: Account, pulls: Mapping[str, Pull], place: Place, ends: SimpleQueue[_End]
) -> None:
    futures: dict[str, Future[None]] = {}

    def work(name: str) -> None:
        def upstream_over() -> None:
            with waiting_for_threads():
                wait([futures[other] for other in pulls[name].upstream])
            place.interruption.wait(0)

        try:
            ends.put((name, account, pulls[name].work(account, upstream_over)))
        except Exception as error:  # noqa: BLE001 - an account's failure is its own
            ends.put((name, account, error))
        except BaseException as error:  # noqa: BLE001 - told in the thread that iterates
            ends.put(error)

    try:
        with place.working(), ThreadPoolExecutor(len(pulls), thread_name_prefix="pull") as pool:
            for name in pulls:
                futures[name] = pool.submit(carried(partial(work, name)))
            with waiting_for_threads():
                wait(futures.values())
    except BaseException as error:  # noqa: BLE001 - as of a pull: else nobody would hear of it
        ends.put(error)
