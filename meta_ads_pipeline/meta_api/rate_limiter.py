"""Decide when the next call may go, from what Meta says about the limits.

``RateLimiter`` is the hook; ``UsageRateLimiter`` knows only its own process (``rate_limit/`` has
the one that all processes share). It slows down smoothly as usage rises and, after a block, lets
one call through per hint while the rest wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from meta_ads_pipeline.meta_api.error_kinds import ErrorKind, ErrorRule
from meta_ads_pipeline.meta_api.error_rules import CALLS_HELD
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.usage import Usage, UseCase


class RateLimiter(Protocol):
    """Asked before and told after every HTTP call; must be thread-safe.

    `calls` is how many calls Meta counts: the members of a batch, else 1.
    """

    def before_call(self, account_id: str | None, use_case: UseCase, calls: int = 1) -> None:
        """Wait until the call may go; raise MetaApiError (rate limit) instead of waiting long."""
        ...

    def after_call(
        self,
        account_id: str | None,
        use_case: UseCase,
        usage: Usage,
        error: MetaApiError | None,
        calls: int = 1,
    ) -> None:
        """Learn from the answer. Called once for every `before_call` that returned."""
        ...

    def not_made(self, account_id: str | None) -> None:
        """Called in place of `after_call` where the call was not made after all."""
        ...


def calls_held(account_id: str | None, wait: float, rule: ErrorRule = CALLS_HELD) -> MetaApiError:
    """The error in place of a call that would have to wait too long; ``wait`` in seconds."""
    return MetaApiError(
        rule,
        f"the next call may go in {wait:.0f} s",
        retry_after_seconds=wait,
        account_id=account_id,
    )


BlockKey = tuple[str, ...]
APP: BlockKey = ("app",)

# Codes that block only one use case of an account; 4 blocks the app, the rest the whole account.
_USE_CASE_CODES = range(80000, 80015)
_APP_CODES = (4,)


def block_key(account_id: str | None, use_case: UseCase, error: MetaApiError) -> BlockKey:
    """What a rate limit error blocks."""
    if error.code in _APP_CODES or account_id is None:
        return APP
    if error.code is not None and error.code in _USE_CASE_CODES:
        return ("account", account_id, use_case.value)
    return ("account", account_id)


@dataclass
class _Block:
    """A block stands until a call has got through after `until` (monotonic seconds)."""

    until: float
    times: int = 1
    probing: bool = False


@dataclass
class UsageRateLimiter:
    """Slows before a block, probes after one; one process, in memory.

    Below `slow_from` percent nothing waits; from there the pause before each call grows with the
    cube of the distance to 100 %, up to `longest_pause` seconds. A reading fades over an hour, the
    span over which Meta counts.
    """

    slow_from: float = 75.0
    longest_pause: float = 60.0
    longest_wait: float = 3600.0
    first_backoff: float = 30.0
    longest_backoff: float = 600.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        """Start without knowledge."""
        self._lock = threading.Lock()
        self._readings: dict[tuple[str | None, UseCase], tuple[float, float]] = {}
        self._blocks: dict[BlockKey, _Block] = {}

    def before_call(self, account_id: str | None, use_case: UseCase, calls: int = 1) -> None:
        """Pause as usage demands; behind a block wait for its end and for the probing call."""
        pause = self.pause_seconds(account_id, use_case) * calls
        if pause:
            self.sleep(min(pause, self.longest_pause))
        started = self.clock()
        while True:
            with self._lock:
                wait = self._blocked_for(account_id, use_case)
            if wait is None:
                return
            if self.clock() - started + wait > self.longest_wait:
                raise calls_held(account_id, wait)
            self.sleep(wait)

    def after_call(
        self,
        account_id: str | None,
        use_case: UseCase,
        usage: Usage,
        error: MetaApiError | None,
        calls: int = 1,  # noqa: ARG002 - counted by budgets, not by this one
    ) -> None:
        """Remember the usage, and begin, prolong or end a block."""
        now = self.clock()
        percent = usage.percent(use_case, account_id)
        with self._lock:
            if usage != Usage():
                self._readings[(account_id, use_case)] = (now, percent)
            keys = _keys(account_id, use_case)
            if error is None:
                for key in keys:
                    self._blocks.pop(key, None)
                return
            if error.kind is ErrorKind.RATE_LIMIT:
                key = block_key(account_id, use_case, error)
                before = self._blocks.get(key)
                times = before.times + 1 if before else 1
                backoff = min(self.first_backoff * 2 ** (times - 1), self.longest_backoff)
                wait = error.retry_after_seconds or backoff
                until = max(now + wait, before.until if before else 0.0)
                self._blocks[key] = _Block(until, times)
            for key in keys:
                if key in self._blocks:
                    self._blocks[key].probing = False

    def not_made(self, account_id: str | None) -> None:
        """Let another call probe the blocks that this one was to probe."""
        with self._lock:
            for key, block in self._blocks.items():
                if account_id is None or key == APP or account_id in key:
                    block.probing = False

    def pause_seconds(self, account_id: str | None, use_case: UseCase) -> float:
        """The pause that the latest reading of this account and use case asks for."""
        with self._lock:
            read_at, percent = self._readings.get((account_id, use_case), (0.0, 0.0))
            now = self.clock()
        percent *= max(0.0, 1 - (now - read_at) / 3600)
        share = (min(percent, 100.0) - self.slow_from) / (100.0 - self.slow_from)
        return float(self.longest_pause * share**3) if share > 0 else 0.0

    def _blocked_for(self, account_id: str | None, use_case: UseCase) -> float | None:
        """Seconds to wait, or None when the caller may go (and probes, if a block stands)."""
        now = self.clock()
        standing = [self._blocks[key] for key in _keys(account_id, use_case) if key in self._blocks]
        wait = max((block.until - now for block in standing), default=0.0)
        if wait > 0:
            return wait
        if any(block.probing for block in standing):
            return 0.2
        for block in standing:
            block.probing = True
        return None


def _keys(account_id: str | None, use_case: UseCase) -> list[BlockKey]:
    if account_id is None:
        return [APP]
    return [APP, ("account", account_id), ("account", account_id, use_case.value)]
