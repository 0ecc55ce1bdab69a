"""The port through which the client asks when a call may go; ``rate_limit/`` implements it."""

from __future__ import annotations

from typing import Protocol

from meta_ads_pipeline.meta_api.error_kinds import ErrorRule
from meta_ads_pipeline.meta_api.error_rules import CALLS_HELD
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.usage import Usage, UseCase


class RateLimiter(Protocol):
    """Asked before and told after every HTTP call; thread-safe. Keeps the database out of here.

    ``calls`` is how many calls Meta counts: the members of a batch, else 1.
    """

    def before_call(self, account_id: str | None, use_case: UseCase, calls: int = 1) -> None:
        """Wait until the call may go; raise ``MetaApiError`` instead of waiting long."""
        ...

    def after_call(
        self,
        account_id: str | None,
        use_case: UseCase,
        usage: Usage,
        error: MetaApiError | None,
        calls: int = 1,
    ) -> None:
        """Learn from the response. Called once for every ``before_call`` that returned."""
        ...

    def not_made(self, account_id: str | None) -> None:
        """Called in place of ``after_call`` where the call was not made after all."""
        ...


def calls_held(account_id: str | None, wait: float, rule: ErrorRule = CALLS_HELD) -> MetaApiError:
    """The error in place of a call that would have to wait too long; ``wait`` in seconds."""
    return MetaApiError(
        rule,
        f"the next call may go in {wait:.0f} s",
        retry_after_seconds=wait,
        account_id=account_id,
    )
