"""The rate_limiter that all processes share through Postgres.

Before each call it looks at every limit that the call counts under. As one fills up, calls are
spaced, gently at first and ever wider towards the ceiling, where they stop; lower priorities stop
earlier. A limit frees itself with time, so a reading fades until the next response brings a new
one. After a block one call in all processes tries whether it is over, once per hint.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable

import psycopg

from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.meta_api.error_kinds import ErrorKind, ErrorRule
from meta_ads_pipeline.meta_api.error_rules import CALLS_HELD
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.priority import Priority, current_priority
from meta_ads_pipeline.meta_api.rate_limiter import calls_held
from meta_ads_pipeline.meta_api.usage import Usage, UseCase
from meta_ads_pipeline.meta_api.waiting import pause
from meta_ads_pipeline.rate_limit.alerts import raise_budget_alert, resolve_budget_alerts
from meta_ads_pipeline.rate_limit.concurrency import SharedSlots
from meta_ads_pipeline.rate_limit.limits import (
    BudgetRules,
    limits_of_call,
    readings_of,
    refused_limit,
)
from meta_ads_pipeline.rate_limit.store import (
    HOUR,
    Budget,
    BudgetKey,
    CallBudgetStore,
    CallCount,
)

logger = logging.getLogger(__name__)

PROBE_LEASE = 180.0
"""Longer than any one exchange takes: a killed holder's right to probe ends with it."""
KEPT_COUNTS = 30 * 86_400.0
_UNNOTICEABLE = 0.02


class PostgresRateLimiter:
    """The budget of one connection's calls; thread-safe. ``app`` names whose limits they share.

    ``label`` is how a person calls the connection, ``held`` the error in place of a long wait.
    ``clock`` gives Unix seconds. ``before_call`` raises ``MetaApiError`` (kind rate limit) when a
    call would have to wait longer than ``rules.longest_wait``, ``DatabaseError`` when the database
    is away.
    """

    def __init__(
        self,
        database: Database,
        *,
        app: str,
        connection_id: str,
        label: str = "",
        rules: BudgetRules | None = None,
        held: ErrorRule = CALLS_HELD,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        self._database = database
        self._store = CallBudgetStore(database)
        self._app = BudgetKey(app)
        self._token = BudgetKey(f"connection {label or connection_id}", use_case="calls per hour")
        self._connection_id = connection_id
        self.rules, self._held = rules or BudgetRules(), held
        self._clock, self._sleep = clock, sleep
        self._slots = SharedSlots(
            self._store,
            app,
            per_app=self.rules.calls_in_flight,
            per_account=self.rules.calls_in_flight_per_account,
            clock=clock,
        )
        self._lock = threading.Lock()
        self._budgets: dict[BudgetKey, Budget] = {}
        self._read_at: dict[str, float] = {}
        self._dirty: set[BudgetKey] = set()
        self._counts: Counter[tuple[float, str, str]] = Counter()
        self._wasted: Counter[tuple[float, str, str]] = Counter()
        self._written_at = 0.0
        self._used = 0  # of the hourly cap, as last heard
        self._cap_warned: bool | None = None
        self._calls = threading.local()  # what this thread's call was allowed as
        atexit.register(_close, weakref.ref(self))

    def before_call(self, account_id: str | None, use_case: UseCase, calls: int = 1) -> None:
        """Wait until the call may go."""
        priority = current_priority()
        deadline = self._clock() + self.rules.longest_wait
        try:
            while True:
                wait = self._wait(account_id or "", use_case, calls, priority)
                if wait <= 0:
                    return
                if self._clock() + wait > deadline:
                    raise calls_held(account_id, wait, self._held)
                self._sleep(wait)
        finally:
            self._slots.leave()

    def not_made(self, account_id: str | None) -> None:
        """The call that ``before_call`` let go was not made: there is no response to learn from."""
        self._slots.give_back(account_id or "")
        probed: list[BudgetKey] = getattr(self._calls, "probes", [])
        self._calls.probes = []
        self._stay_blocked(probed, self._clock())

    def after_call(
        self,
        account_id: str | None,
        use_case: UseCase,
        usage: Usage,
        error: MetaApiError | None,
        calls: int = 1,
    ) -> None:
        """Learn from the response, count the call, begin or end a block."""
        now = self._clock()
        probed: list[BudgetKey] = getattr(self._calls, "probes", [])
        started: float = getattr(self._calls, "started", now)
        counted: bool = getattr(self._calls, "counted", False)
        self._calls.probes = []
        with self._lock:
            place = (now // 60 * 60, account_id or "", use_case.value)
            if not counted:
                self._counts[place] += calls
            if error is not None:
                self._wasted[place] += calls
            for key, budget in readings_of(self._app.app, account_id, use_case, usage, now).items():
                self._learn(key, budget)
        try:
            self._slots.give_back(account_id or "")
            if error is not None and error.kind is ErrorKind.RATE_LIMIT:
                self._refused(
                    refused_limit(self._app.app, account_id, use_case, error), error, now, started
                )
                self._stay_blocked(probed, now)
            elif error is None or error.code is not None:
                self._free(probed)
            else:  # no response says nothing about the block
                self._stay_blocked(probed, now + self.rules.first_backoff)
            self._warn()
            if self._seconds_since_write(now) >= self.rules.seconds_between_writes:
                self.flush()
        except (DatabaseError, psycopg.Error) as away:
            logger.warning("the call budget is not kept up to date: %s", away)

    def flush(self) -> None:
        """Write down what was learned and counted since the last time."""
        with self._lock:
            dirty = {key: self._budgets[key] for key in self._dirty}
            counts = [
                CallCount(*place, self._counts[place], self._wasted[place])
                for place in self._counts.keys() | self._wasted.keys()
            ]
            self._dirty.clear()
            self._counts.clear()
            self._wasted.clear()
            is_first, self._written_at = self._written_at == 0.0, self._clock()
        if dirty or counts:
            self._store.write(dirty, self._connection_id, counts)
            if is_first:
                self._store.forget_counts(self._clock() - KEPT_COUNTS)

    def close(self) -> None:
        """Write what is left and end the database session."""
        with self._store.closing():
            self.flush()

    def _wait(self, account_id: str, use_case: UseCase, calls: int, priority: Priority) -> float:
        """Seconds to wait before asking again; 0: the call may go now."""
        now = self._clock()
        keys = limits_of_call(self._app.app, account_id, use_case)
        budgets = self._look(account_id, keys, now)
        blocked = {
            key: budget.blocked_until
            for key, budget in budgets.items()
            if budget.blocked_until is not None
        }
        remaining = max(blocked.values(), default=now) - now
        if remaining > 0:
            return remaining
        wait = self._slots.take(account_id)
        if wait > 0:
            return wait
        try:
            wait = self._allowed(account_id, use_case, calls, priority, now, budgets, list(blocked))
        except BaseException:
            self._slots.give_back(account_id)
            raise
        if wait > 0:
            self._slots.give_back(account_id)
        return wait

    def _allowed(
        self,
        account_id: str,
        use_case: UseCase,
        calls: int,
        priority: Priority,
        now: float,
        budgets: dict[BudgetKey, Budget],
        blocked: list[BudgetKey],
    ) -> float:
        """0 when probe, distance and cap let the call go, else seconds to wait."""
        if blocked:
            if not self._store.claim_probe(blocked, now, PROBE_LEASE):
                self._forget(account_id)
                return self.rules.seconds_between_reads
        else:
            wait = self._spacing(budgets, calls, priority, now)
            if wait > 0:
                return wait
        wait = self._take(account_id, use_case, calls, priority, now)
        if wait > 0:
            if blocked:
                self._store.release_probe(blocked, now + wait)
                self._forget(account_id)
            return wait
        self._calls.probes, self._calls.started = blocked, now
        return 0.0

    def _spacing(
        self, budgets: dict[BudgetKey, Budget], calls: int, priority: Priority, now: float
    ) -> float:
        """How long to keep away from the fullest limit, if any is filling up."""
        allowed = self.rules.ceiling_percent * priority.value
        loads = {key: budget.percent_at(now) / allowed for key, budget in budgets.items()}
        fullest = max(loads, key=lambda key: loads[key], default=self._app)
        load, span = loads.get(fullest, 0.0), budgets[fullest].span_seconds if loads else HOUR
        if load >= 1:
            # The reading has faded to what is allowed after this part of its span.
            percent, read_at = budgets[fullest].percent or 0.0, budgets[fullest].read_at
            return max(1.0, read_at + span * (1 - allowed / percent) - now)
        pause = self.rules.pause(load, span)
        with self._lock:
            cap, used = self._cap(), self._used
        if cap is not None:
            most = cap * priority.value
            by_count = self.rules.pause(used / most, HOUR, most)
            if by_count > pause:
                fullest, pause = self._token, by_count
        # Many calls in one request keep the distance of a few: the next response tells the rest.
        pause *= min(calls, 5)
        return 0.0 if pause < _UNNOTICEABLE else self._store.claim_pace(fullest, now, pause)

    def _take(
        self, account_id: str, use_case: UseCase, calls: int, priority: Priority, now: float
    ) -> float:
        with self._lock:
            cap = self._cap()
        self._calls.counted = cap is not None
        if cap is None:
            return 0.0
        self.flush()  # calls of before the cap was known count, too
        taken = self._store.take(
            self._connection_id,
            account_id,
            use_case.value,
            calls=calls,
            most=cap * priority.value,
            now=now,
        )
        self._used = taken.used
        return taken.wait

    def _cap(self) -> int | None:
        known = self._budgets.get(self._app)
        return self.rules.cap(known.tier if known else None)

    def _look(self, account_id: str, keys: list[BudgetKey], now: float) -> dict[BudgetKey, Budget]:
        """What is known of these limits; read anew when the last look is too long ago."""
        with self._lock:
            read_at = self._read_at.get(account_id)
            if read_at is None or now - read_at >= self.rules.seconds_between_reads:
                stored = self._store.read(self._app.app, [account_id])
                for key, budget in stored.items():
                    self._merge(key, budget)
                self._read_at[account_id] = now
            return {key: self._budgets[key] for key in keys if key in self._budgets}

    def _merge(self, key: BudgetKey, stored: Budget) -> None:
        """Blocks are as stored; of two readings the newer one counts."""
        own = self._budgets.get(key)
        if own is not None and key in self._dirty and own.read_at >= stored.read_at:
            stored.percent, stored.span_seconds = own.percent, own.span_seconds
            stored.read_at, stored.tier = own.read_at, own.tier or stored.tier
            stored.is_warned = own.is_warned
        self._budgets[key] = stored

    def _learn(self, key: BudgetKey, reading: Budget) -> None:
        own = self._budgets.setdefault(key, Budget())
        if reading.percent is not None:
            own.percent, own.span_seconds = reading.percent, reading.span_seconds
        own.read_at, own.tier = reading.read_at, reading.tier or own.tier
        self._dirty.add(key)

    def _forget(self, account_id: str) -> None:
        """Look again before the next decision."""
        with self._lock:
            self._read_at.pop(account_id, None)

    def _refused(self, key: BudgetKey, error: MetaApiError, now: float, started: float) -> None:
        with self._lock:
            budget = self._budgets.setdefault(key, Budget())
            is_new = budget.refused_at is None or started >= budget.refused_at
            budget.times_blocked += is_new
            backoff = self.rules.first_backoff * 2.0 ** (max(budget.times_blocked, 1) - 1)
            retry_after = error.retry_after_seconds or min(backoff, self.rules.longest_backoff)
            budget.blocked_until = max(budget.blocked_until or 0.0, now + retry_after)
            budget.refused_at, budget.retry_after_seconds = now, retry_after
            until = budget.blocked_until
        self._store.block(
            key, code=error.code, now=now, until=until, retry_after=retry_after, is_new=is_new
        )
        if is_new:
            raise_budget_alert(
                self._database,
                key,
                "blocked",
                f"Meta refuses calls for {key.subject} (code {error.code}) for {retry_after:.0f} s",
            )

    def _free(self, probed: list[BudgetKey]) -> None:
        """A call got through: what it tried blocks no longer."""
        if not probed:
            return
        self._store.unblock(probed)
        for key in probed:
            resolve_budget_alerts(self._database, key, "the block is over")
        with self._lock:
            for key in probed:
                budget = self._budgets.setdefault(key, Budget())
                budget.blocked_until, budget.refused_at, budget.times_blocked = None, None, 0

    def _stay_blocked(self, probed: list[BudgetKey], until: float) -> None:
        """The blocks that a call tried stand, at least until then; another call may try them."""
        if probed:
            self._store.release_probe(probed, until)
            with self._lock:
                self._read_at.clear()

    def _seconds_since_write(self, now: float) -> float:
        with self._lock:
            return now - self._written_at

    def _warn(self) -> None:
        """Alert where a limit is nearly used up, and take the alert back when it is not."""
        crossed: list[tuple[BudgetKey, float, bool]] = []
        with self._lock:
            for key in self._dirty:
                budget = self._budgets[key]
                percent = budget.percent or 0.0
                full = percent >= self.rules.warn_percent
                if full != budget.is_warned and (full or percent < self.rules.warn_percent - 10):
                    budget.is_warned = full
                    crossed.append((key, percent, full))
            cap = self._cap()
            if cap is not None:
                percent = 100 * self._used / cap
                full = percent >= self.rules.warn_percent
                if full != self._cap_warned and (full or percent < self.rules.warn_percent - 10):
                    self._cap_warned = full
                    crossed.append((self._token, percent, full))
        for key, percent, full in crossed:
            if full:
                what = f"{percent:.0f} % of the limit on calls for {key.subject} is used up"
                raise_budget_alert(self._database, key, "full", what)
            else:
                resolve_budget_alerts(self._database, key, "there is room again")
        if crossed:
            self.flush()


def _close(reference: weakref.ref[PostgresRateLimiter]) -> None:
    """At the end of the process: no count is lost."""
    rate_limiter = reference()
    if rate_limiter is not None:
        try:
            rate_limiter.close()
        except (DatabaseError, psycopg.Error) as error:
            logger.debug("the last counts could not be written: %s", error)
