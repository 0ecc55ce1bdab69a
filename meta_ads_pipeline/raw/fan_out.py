"""One account's failure is its own: the others are done all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from meta_ads_pipeline.control.accounts import Account
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

    An account that failed part way has its landed slices in ``control.slices``, not in the
    reports.
    """
    result = FanOut()
    if not accounts:
        return result
    with ThreadPoolExecutor(
        max_workers=max(1, min(max_workers, len(accounts))), thread_name_prefix="account"
    ) as pool:
        futures = {pool.submit(work, account): account for account in accounts}
        for future in as_completed(futures):
            error = future.exception()
            if error is None:
                result.reports.extend(future.result())
            elif isinstance(error, Exception):
                result.failures[futures[future].account_id] = error
            else:
                raise error
    result.reports.sort(key=lambda report: (report.account_id, report.partition_date))
    return result
