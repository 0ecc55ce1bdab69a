"""One pull of many accounts, and nothing beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.raw.context import SliceReport
from meta_ads_pipeline.raw.fan_out import Pull, Pulled, pull_side_by_side


def for_each_account(
    accounts: Sequence[Account], work: Callable[[Account], list[SliceReport]], max_accounts: int
) -> Pulled:
    """The reports and failures of ``work`` for every account."""
    pulls = {"only": Pull(lambda account, _upstream_over: work(account))}
    ((_, pulled),) = pull_side_by_side(accounts, pulls, max_accounts)
    return pulled
