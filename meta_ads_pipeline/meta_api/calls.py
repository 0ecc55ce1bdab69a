"""A call that is allowed, bounded, retried and recorded.

Transient failures are tried again with exponential backoff and full jitter, the same failure at
most three times; a rate limit waits as Meta says, within a total; everything else fails at once.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception

from meta_ads_pipeline.meta_api.error_rules import Action, ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.rate_limiter import RateLimiter
from meta_ads_pipeline.meta_api.session import Answer, GraphTransport
from meta_ads_pipeline.meta_api.usage import Usage, UseCase

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """What to ask. `path` is relative to the version; `edge` names it for records and memory."""

    method: str
    path: str
    params: Mapping[str, Any]
    edge: str
    account_id: str | None = None
    use_case: UseCase = UseCase.MANAGEMENT
    calls: int = 1  # how many Meta counts: the members of a batch
    own_token: bool = True

    def with_params(self, **changes: Any) -> Call:
        """The same call with some parameters replaced; None removes one."""
        merged = {**self.params, **changes}
        kept = {name: value for name, value in merged.items() if value is not None}
        return Call(
            self.method,
            self.path,
            kept,
            self.edge,
            self.account_id,
            self.use_case,
            self.calls,
            self.own_token,
        )


@dataclass(frozen=True)
class CallRecord:
    """One HTTP call as it went, for audit and metrics; holds no parameter and no secret.

    `calls` is what Meta counts (batch members); `duration_s` is the exchange alone, in seconds,
    without waits; `rows` is the length of the answer's `data`.
    """

    method: str
    path: str
    edge: str
    account_id: str | None
    use_case: str
    attempt: int
    calls: int
    status: int | None
    error_kind: str | None
    error_code: int | None
    error_subcode: int | None
    started_at: datetime
    duration_s: float
    rows: int
    usage: Usage


@dataclass
class CallCounter:
    """Counts the calls of one question across threads."""

    calls: int = 0
    failed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, calls: int, failed: bool) -> None:
        """Count one HTTP call of so many counted calls."""
        with self._lock:
            self.calls += calls
            self.failed += failed


@dataclass(frozen=True)
class RetryPolicy:
    """Bounds of patience; times in seconds.

    `same_failure` attempts end in the same transient failure before a call gives up, `attempts`
    in any; waits for a rate limit are bounded by their sum.
    """

    same_failure: int = 3
    attempts: int = 6
    first_backoff: float = 1.0
    longest_backoff: float = 60.0
    rate_limit_first: float = 5.0
    rate_limit_longest: float = 600.0
    rate_limit_total: float = 3600.0


class _Patience:
    """What one call has met so far; gives tenacity its stop and its wait."""

    def __init__(self, policy: RetryPolicy, rng: random.Random) -> None:
        self._policy, self._rng = policy, rng
        self._seen: Counter[tuple[Any, ...]] = Counter()
        self._limited = 0
        self._waited = 0.0

    def wait(self, state: RetryCallState) -> float:
        """Full jitter on an exponential bound; for a limit at least Meta's hint."""
        error = _error_of(state)
        policy = self._policy
        if error.kind is ErrorKind.RATE_LIMIT:
            self._limited += 1
            bound = policy.rate_limit_first * 2.0 ** min(self._limited, 20)
            jitter = self._rng.uniform(0, min(bound, policy.rate_limit_longest))
            return max(error.retry_after_seconds or 0.0, jitter)
        self._seen[error.signature] += 1
        tries = sum(self._seen.values())
        return self._rng.uniform(
            0, min(policy.first_backoff * 2.0 ** (tries - 1), policy.longest_backoff)
        )

    def stop(self, state: RetryCallState) -> bool:
        """Whether patience is at its end; runs after `wait`."""
        error = _error_of(state)
        if error.kind is ErrorKind.RATE_LIMIT:
            self._waited += state.upcoming_sleep
            return self._waited > self._policy.rate_limit_total
        return (
            self._seen[error.signature] >= self._policy.same_failure
            or sum(self._seen.values()) >= self._policy.attempts
        )


def _error_of(state: RetryCallState) -> MetaApiError:
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, MetaApiError):
        raise TypeError("only classified errors are retried")
    return error


def _worth_retrying(error: BaseException) -> bool:
    return isinstance(error, MetaApiError) and error.action in {Action.RETRY, Action.WAIT}


class Slots:
    """How many HTTP exchanges may be in flight: in all, and per account."""

    def __init__(self, total: int, per_account: int) -> None:
        self._total = threading.BoundedSemaphore(total)
        self._per_account = per_account
        self._accounts: dict[str, threading.BoundedSemaphore] = {}
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, account_id: str | None) -> Iterator[None]:
        """Wait for a free slot; the account's first, so that one account cannot hold the rest."""
        with ExitStack() as stack:
            if account_id is not None:
                with self._lock:
                    own = self._accounts.setdefault(
                        account_id, threading.BoundedSemaphore(self._per_account)
                    )
                stack.enter_context(own)
            stack.enter_context(self._total)
            yield


class Caller:
    """Makes calls: rate_limiter, slots, exchange, record, retry. Thread-safe."""

    def __init__(
        self,
        transport: GraphTransport,
        rate_limiter: RateLimiter,
        slots: Slots,
        *,
        policy: RetryPolicy,
        on_call: Callable[[CallRecord], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.transport = transport
        self.sleep = sleep
        self._rate_limiter = rate_limiter
        self._slots = slots
        self._policy = policy
        self._on_call = on_call
        self._rng = rng or random.Random()  # noqa: S311 - jitter is not a secret

    def call(self, call: Call, counter: CallCounter | None = None) -> Answer:
        """Make the call until it succeeds or patience ends; raises MetaApiError."""
        patience = _Patience(self._policy, self._rng)
        retrying = Retrying(
            retry=retry_if_exception(_worth_retrying),
            wait=patience.wait,
            stop=patience.stop,
            sleep=self.sleep,
            before_sleep=_log_retry,
            reraise=True,
        )
        attempt = 0

        def once() -> Answer:
            nonlocal attempt
            attempt += 1
            return self._once(call, attempt, counter)

        return retrying(once)

    def _once(self, call: Call, attempt: int, counter: CallCounter | None) -> Answer:
        self._rate_limiter.before_call(call.account_id, call.use_case, call.calls)
        started_at, answer, error = datetime.now(UTC), None, None
        usage = Usage()
        started = time.perf_counter()
        try:
            with self._slots.hold(call.account_id):
                started = time.perf_counter()
                answer = self.transport.send(
                    call.method,
                    call.path,
                    call.params,
                    account_id=call.account_id,
                    use_case=call.use_case,
                    own_token=call.own_token,
                )
                usage = answer.usage
                return answer
        except MetaApiError as caught:
            error, usage = caught, caught.usage
            raise
        finally:
            duration = time.perf_counter() - started
            self._rate_limiter.after_call(call.account_id, call.use_case, usage, error, call.calls)
            if counter is not None:
                counter.add(call.calls, error is not None)
            if self._on_call is not None:
                self._on_call(
                    CallRecord(
                        method=call.method,
                        path=call.path,
                        edge=call.edge,
                        account_id=call.account_id,
                        use_case=call.use_case.value,
                        attempt=attempt,
                        calls=call.calls,
                        status=answer.status if answer else error.http_status if error else None,
                        error_kind=error.kind.value if error else None,
                        error_code=error.code if error else None,
                        error_subcode=error.subcode if error else None,
                        started_at=started_at,
                        duration_s=duration,
                        rows=row_count(answer.document) if answer else 0,
                        usage=usage,
                    )
                )


def row_count(document: Any) -> int:
    """How many rows an answer's `data` has; a batch answer counts its members."""
    data = document.get("data") if isinstance(document, dict) else document
    return len(data) if isinstance(data, list) else 0


def _log_retry(state: RetryCallState) -> None:
    error = _error_of(state)
    logger.warning(
        "attempt %d: %s Next in %.1f s.", state.attempt_number, error, state.upcoming_sleep
    )
