"""One account's failure is its own: the others are done all the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.meta_api.waiting import Interruption, Place
from meta_ads_pipeline.raw.context import SliceReport


@dataclass
class FanOut:
    """What the accounts' pulls gave: reports of those that succeeded, failures by account id."""

    reports: list[SliceReport] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)


def for_each_account(
    accounts: Sequence[Account],
    work: Callable[[Account], list[SliceReport]],
    max_workers: int,
) -> FanOut:
    """Do ``work`` for every account, at most ``max_workers`` at once. Raises nothing of ``work``'s.

    An account that waits for Meta (``meta_api.waiting``) gives its place to the next one, however
    many wait. An account that failed part way has its landed slices in ``control.slices``, not in
    the reports. When the calling thread is interrupted every wait ends, and the interrupt is raised
    at once.
    """
    result = FanOut()
    if not accounts:
        return result
    places = threading.Semaphore(max(1, max_workers))
    interruption = Interruption()

    def at_a_place(account: Account, place: Place) -> list[SliceReport]:
        with place.working():
            return work(account)

    # A thread for each account that waits: a wait may be hours, and costs nothing else.
    pool = ThreadPoolExecutor(max_workers=len(accounts), thread_name_prefix="account")
    futures: dict[Future[list[SliceReport]], Account] = {}
    try:
        for account in accounts:
            places.acquire()
            place = Place(places, interruption)
            futures[pool.submit(at_a_place, account, place)] = account
        for future in as_completed(futures):
            try:
                result.reports.extend(future.result())
            except Exception as error:  # noqa: BLE001 - an account's failure is its own
                result.failures[futures[future].account_id] = error
    except BaseException:
        interruption.interrupt()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    result.reports.sort(key=lambda report: (report.account_id, report.partition_date))
    return result
