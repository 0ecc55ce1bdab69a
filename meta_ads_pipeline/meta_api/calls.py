"""A call that is allowed, bounded, retried and recorded.

Transient failures are tried again with exponential backoff and full jitter, the same failure at
most three times; a rate limit waits as Meta says, within a total; everything else fails at once.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception

from meta_ads_pipeline.logs import log_context
from meta_ads_pipeline.meta_api.config import RetryPolicy
from meta_ads_pipeline.meta_api.error_rules import Action, ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.rate_limiter import RateLimiter
from meta_ads_pipeline.meta_api.session import GraphResponse, GraphTransport
from meta_ads_pipeline.meta_api.usage import Usage, UseCase

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """A request. ``path`` is relative to the version; ``edge`` names it for records and memory."""

    method: str
    path: str
    params: Mapping[str, Any]
    edge: str
    account_id: str | None = None
    use_case: UseCase = UseCase.MANAGEMENT
    calls: int = 1  # how many Meta counts: the members of a batch
    own_token: bool = True
    hidden_error: Callable[[Any], MetaApiError | None] | None = None
    """Finds the error that a successful response holds and the rate limiter must hear of."""

    def with_params(self, **changes: Any) -> Call:
        """The same call with some parameters replaced; None removes one."""
        merged = {**self.params, **changes}
        kept = {name: value for name, value in merged.items() if value is not None}
        return replace(self, params=kept)


@dataclass(frozen=True)
class CallRecord:
    """One HTTP call as it went, for audit and metrics; holds no parameter and no secret.

    ``calls`` is what Meta counts (batch members); ``duration_s`` is the exchange alone, in seconds,
    without waits; ``rows`` is the length of the response's ``data``.
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
    """Counts the calls of one request across threads."""

    calls: int = 0
    failed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, calls: int, failed: bool) -> None:
        """Count one HTTP call of so many counted calls."""
        with self._lock:
            self.calls += calls
            self.failed += failed


class _Attempts:
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
        """Whether to give up; runs after ``wait``."""
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


class Caller:
    """Makes calls: rate limiter, exchange, record, retry. Thread-safe.

    Without a rate limiter a refused call waits as Meta says, within the policy, and tries again.
    """

    def __init__(
        self,
        transport: GraphTransport,
        rate_limiter: RateLimiter | None,
        *,
        policy: RetryPolicy,
        on_call: Callable[[CallRecord], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.transport = transport
        self.sleep = sleep
        self._rate_limiter = rate_limiter
        self._policy = policy
        self._on_call = on_call
        self._rng = rng or random.Random()  # noqa: S311 - jitter is not a secret

    def error_of(self, call: Call, counter: CallCounter | None = None) -> MetaApiError | None:
        """What the call fails with, or None: a probe that tells whether a smaller request helps."""
        try:
            self.call(call, counter)
        except MetaApiError as error:
            return error
        return None

    def call(self, call: Call, counter: CallCounter | None = None) -> GraphResponse:
        """Make the call until it succeeds or the policy ends it; raises ``MetaApiError``."""
        attempts = _Attempts(self._policy, self._rng)
        retrying = Retrying(
            retry=retry_if_exception(_worth_retrying),
            wait=attempts.wait,
            stop=attempts.stop,
            sleep=self.sleep,
            before_sleep=_log_retry,
            reraise=True,
        )
        attempt = 0

        def once() -> GraphResponse:
            nonlocal attempt
            attempt += 1
            return self._once(call, attempt, counter)

        return retrying(once)

    def _once(self, call: Call, attempt: int, counter: CallCounter | None) -> GraphResponse:
        with log_context(call_id=uuid.uuid4().hex[:16]):
            return self._exchange(call, attempt, counter)

    def _exchange(self, call: Call, attempt: int, counter: CallCounter | None) -> GraphResponse:
        if self._rate_limiter is not None:
            self._rate_limiter.before_call(call.account_id, call.use_case, call.calls)
        started_at, started = datetime.now(UTC), time.perf_counter()
        response: GraphResponse | None = None
        error: MetaApiError | None = None
        hidden: MetaApiError | None = None
        usage = Usage()
        try:
            response = self.transport.send(
                call.method,
                call.path,
                call.params,
                account_id=call.account_id,
                use_case=call.use_case,
                own_token=call.own_token,
            )
            usage = response.usage
            hidden = call.hidden_error(response.document) if call.hidden_error else None
            if hidden is not None and usage == Usage():
                usage = hidden.usage
            return response
        except MetaApiError as caught:
            error, usage = caught, caught.usage
            raise
        finally:
            duration = time.perf_counter() - started
            if self._rate_limiter is not None:
                self._rate_limiter.after_call(
                    call.account_id, call.use_case, usage, error or hidden, call.calls
                )
            if counter is not None:
                counter.add(call.calls, error is not None)
            status = response.status if response else error.http_status if error else None
            record = CallRecord(
                method=call.method,
                path=call.path,
                edge=call.edge,
                account_id=call.account_id,
                use_case=call.use_case.value,
                attempt=attempt,
                calls=call.calls,
                status=status,
                error_kind=error.kind.value if error else None,
                error_code=error.code if error else None,
                error_subcode=error.subcode if error else None,
                started_at=started_at,
                duration_s=duration,
                rows=row_count(response.document) if response else 0,
                usage=usage,
            )
            _log(record, error)
            if self._on_call is not None:
                self._on_call(record)


def row_count(document: Any) -> int:
    """How many rows a response's ``data`` has; a batch response counts its members."""
    data = document.get("data") if isinstance(document, dict) else document
    return len(data) if isinstance(data, list) else 0


def _log_retry(state: RetryCallState) -> None:
    error = _error_of(state)
    logger.warning(
        "attempt %d: %s Next in %.1f s.", state.attempt_number, error, state.upcoming_sleep
    )


def _log(record: CallRecord, error: MetaApiError | None) -> None:
    """One line for each call. ``fbtrace_id`` is what Meta's support asks for."""
    facts = {
        "method": record.method,
        "path": record.path,
        "edge": record.edge,
        "attempt": record.attempt,
        "status": record.status,
        "duration_ms": round(record.duration_s * 1000),
        "rows": record.rows,
        **({"account_id": record.account_id} if record.account_id else {}),
        **(
            {"error_kind": record.error_kind, "fbtrace_id": error.fbtrace_id}
            if error is not None
            else {}
        ),
    }
    logger.info("%s %s: %s", record.method, record.edge, record.status, extra=facts)
