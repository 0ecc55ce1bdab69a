"""Rate limits: rolling accounts of calls, blocks, and the usage headers that tell of both.

Units follow the API: percents everywhere, ``reset_time_duration`` in seconds,
``estimated_time_to_regain_access`` in minutes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import orjson

from meta_graph_simulator.clock import SimulatedClock
from meta_graph_simulator.config import AccessTier, SimulatorConfig
from meta_graph_simulator.graph.call import GraphCall
from meta_graph_simulator.graph.errors import GraphError, rate_limit

UseCase = Literal["ads_insights", "ads_management"]
HOUR = 3600.0
SCORE_DECAY = 300.0
READ_SCORE, WRITE_SCORE = 1, 3
# Modelled server time of a call: what it costs of the hour's processing time.
_CALL_SECONDS, _ROW_SECONDS = 0.05, 0.0005


@dataclass(frozen=True, slots=True)
class TierLimits:
    """Limits of an access tier, after Meta's rate-limiting page."""

    score_max: int
    score_block_seconds: float
    management_base: int
    management_per_ad: int
    insights_base: int
    insights_per_ad: int
    app_calls: int
    seconds_per_hour: float


TIERS: dict[AccessTier, TierLimits] = {
    "development_access": TierLimits(60, 300.0, 300, 40, 600, 400, 200, 600.0),
    "standard_access": TierLimits(9_000, 60.0, 100_000, 40, 190_000, 400, 200_000, 36_000.0),
}


class RollingSum:
    """Sum over the last ``span`` seconds, kept in buckets of a 60th of it."""

    def __init__(self, span: float) -> None:
        self._span = span
        self._width = span / 60
        self._buckets: deque[tuple[int, float]] = deque()
        self._sum = 0.0

    def add(self, now: float, amount: float) -> None:
        """Count an amount at a moment."""
        bucket = int(now // self._width)
        if self._buckets and self._buckets[-1][0] == bucket:
            amount_before = self._buckets.pop()[1]
            self._buckets.append((bucket, amount_before + amount))
        else:
            self._buckets.append((bucket, amount))
        self._sum += amount

    def total(self, now: float) -> float:
        """The sum, older amounts dropped."""
        oldest = (now - self._span) // self._width
        while self._buckets and self._buckets[0][0] < oldest:
            self._sum -= self._buckets.popleft()[1]
        return self._sum

    def seconds_until_below(self, now: float, limit: float) -> float:
        """How long until enough has dropped out for the sum to be below a limit."""
        excess = self.total(now) - limit
        if excess < 0:
            return 0.0
        for bucket, amount in self._buckets:
            excess -= amount
            if excess < 0:
                return max(0.0, (bucket + 1) * self._width + self._span - now)
        return self._span


@dataclass(slots=True)
class AccountUsage:
    """What one account was charged."""

    score: RollingSum = field(default_factory=lambda: RollingSum(SCORE_DECAY))
    calls: dict[UseCase, RollingSum] = field(
        default_factory=lambda: {
            "ads_insights": RollingSum(HOUR),
            "ads_management": RollingSum(HOUR),
        }
    )
    seconds: dict[UseCase, RollingSum] = field(
        default_factory=lambda: {
            "ads_insights": RollingSum(HOUR),
            "ads_management": RollingSum(HOUR),
        }
    )


@dataclass(slots=True)
class Block:
    """A refusal of calls until a simulated moment."""

    code: int
    subcode: int | None
    until: float
    account_id: str | None = None
    use_case: UseCase | None = None
    fault_id: str | None = None

    def concerns(self, call: GraphCall) -> bool:
        """Whether the call is refused by this block."""
        if self.account_id is not None and call.account_id != self.account_id:
            return False
        return self.use_case is None or use_case_of(call) == self.use_case

    def error(self) -> GraphError:
        """What a refused call gets."""
        return rate_limit(self.code, self.subcode)


def use_case_of(call: GraphCall) -> UseCase | None:
    """The business use case that a call counts under; None for app-level calls."""
    if call.account_id is None:
        return None
    return "ads_insights" if call.is_insights else "ads_management"


class RateLimits:
    """Accounting and enforcement for one app."""

    def __init__(
        self, config: SimulatorConfig, clock: SimulatedClock, active_ads: Callable[[str], int]
    ) -> None:
        self.tier: AccessTier = config.access_tier
        self.enforce = config.enforce_limits
        self._app_calls = config.app_calls_per_hour
        self._clock = clock
        self._active_ads = active_ads
        self._app = RollingSum(HOUR)
        self._app_insights = RollingSum(HOUR)
        self._accounts: dict[str, AccountUsage] = {}
        self.blocks: list[Block] = []

    @property
    def limits(self) -> TierLimits:
        """The limits of the present tier."""
        return TIERS[self.tier]

    @property
    def app_limit(self) -> int:
        """App-level calls an hour."""
        return self._app_calls or self.limits.app_calls

    def call_limit(self, account_id: str, use_case: UseCase) -> int:
        """Calls an hour of one account under a use case."""
        ads = self._active_ads(account_id)
        if use_case == "ads_insights":
            return self.limits.insights_base + self.limits.insights_per_ad * ads
        return self.limits.management_base + self.limits.management_per_ad * ads

    def _usage(self, account_id: str) -> AccountUsage:
        return self._accounts.setdefault(account_id, AccountUsage())

    def admit(self, call: GraphCall) -> None:
        """Charge a call, then refuse it if a block holds or, enforced, a limit is passed.

        Raises GraphError: 4, 17/2446079, 80000 or 80004, or the code of the block.
        """
        now = self._clock.time()
        use_case = use_case_of(call)
        self.blocks = [block for block in self.blocks if block.until > now]
        for block in self.blocks:
            if block.concerns(call):
                raise block.error()
        if use_case is None or call.account_id is None:
            self._app.add(now, 1)
            if self.enforce and self._app.total(now) > self.app_limit:
                self._block(4, None, self._app.seconds_until_below(now, self.app_limit))
            return
        usage = self._usage(call.account_id)
        usage.score.add(now, WRITE_SCORE if call.is_write else READ_SCORE)
        usage.calls[use_case].add(now, 1)
        if use_case == "ads_insights":
            self._app_insights.add(now, 1)
        if not self.enforce:
            return
        if usage.score.total(now) > self.limits.score_max:
            usage.score = RollingSum(SCORE_DECAY)  # the block takes the place of the decay
            self._block(17, 2446079, self.limits.score_block_seconds, call.account_id)
        limit = self.call_limit(call.account_id, use_case)
        if usage.calls[use_case].total(now) > limit:
            code = 80000 if use_case == "ads_insights" else 80004
            seconds = usage.calls[use_case].seconds_until_below(now, limit)
            self._block(code, 2446079, seconds, call.account_id, use_case)

    def _block(
        self,
        code: int,
        subcode: int | None,
        seconds: float,
        account_id: str | None = None,
        use_case: UseCase | None = None,
    ) -> None:
        until = self._clock.time() + seconds
        self.blocks.append(Block(code, subcode, until, account_id, use_case))
        raise rate_limit(code, subcode)

    def charge_rows(self, call: GraphCall) -> None:
        """Charge the processing time of an answer, modelled from its rows."""
        use_case = use_case_of(call)
        if use_case is not None and call.account_id is not None:
            seconds = _CALL_SECONDS + _ROW_SECONDS * call.rows
            self._usage(call.account_id).seconds[use_case].add(self._clock.time(), seconds)

    def headers(self, call: GraphCall) -> list[tuple[str, str]]:
        """The usage headers of an answer to this call."""
        now = self._clock.time()
        blocks = [block for block in self.blocks if block.until > now]
        app_blocked = any(block.account_id is None for block in blocks)
        app_share = 100 * self._app.total(now) / self.app_limit
        app = max(100, math.ceil(app_share)) if app_blocked else math.floor(app_share)
        found = [("X-App-Usage", _json({"call_count": app, "total_time": 0, "total_cputime": 0}))]
        use_case = use_case_of(call)
        if use_case is None or call.account_id is None:
            return found
        mine = [block for block in blocks if block.account_id == call.account_id]
        usage = self._usage(call.account_id)
        found.append(("X-Ad-Account-Usage", _json(self._account_usage(usage, mine, now))))
        entries = [
            self._use_case_usage(call.account_id, usage, case, mine, now)
            for case in ("ads_insights", "ads_management")
            if case == use_case or usage.calls[case].total(now)  # type: ignore[index]
        ]
        header = _json({call.account_id: entries})
        found.append(("X-Business-Use-Case-Usage", header))
        if call.is_insights:
            found.append(
                ("X-FB-Ads-Insights-Throttle", self._throttle(call, app_blocked, mine, now))
            )
        return found

    def _account_usage(
        self, usage: AccountUsage, blocks: list[Block], now: float
    ) -> dict[str, object]:
        percent = 100 * usage.score.total(now) / self.limits.score_max
        reset = usage.score.seconds_until_below(now, 1) if percent else 0.0
        for block in blocks:
            if block.code < 80000:
                percent, reset = max(percent, 100.0), max(reset, block.until - now)
        return {
            "acc_id_util_pct": round(percent, 2),
            "reset_time_duration": math.ceil(reset),
            "ads_api_access_tier": self.tier,
        }

    def _use_case_usage(
        self,
        account_id: str,
        usage: AccountUsage,
        use_case: str,
        blocks: list[Block],
        now: float,
    ) -> dict[str, object]:
        case: UseCase = "ads_insights" if use_case == "ads_insights" else "ads_management"
        calls = 100 * usage.calls[case].total(now) / self.call_limit(account_id, case)
        seconds = 100 * usage.seconds[case].total(now) / self.limits.seconds_per_hour
        retry_after = 0.0
        for block in blocks:
            if block.code >= 80000 and block.use_case in (None, case):
                calls, retry_after = max(calls, 100.0), max(retry_after, block.until - now)
        return {
            "type": case,
            "call_count": math.floor(calls),
            "total_cputime": math.floor(seconds / 2),
            "total_time": math.floor(seconds),
            "estimated_time_to_regain_access": math.ceil(retry_after / 60),
            "ads_api_access_tier": self.tier,
        }

    def _throttle(self, call: GraphCall, app_blocked: bool, blocks: list[Block], now: float) -> str:
        account_id = call.account_id or ""
        limit = self.call_limit(account_id, "ads_insights")
        account = 100 * self._usage(account_id).calls["ads_insights"].total(now) / limit
        app = 100 * self._app_insights.total(now) / (limit * max(1, len(self._accounts)))
        if app_blocked:
            app = max(100.0, app)
        if any(block.use_case in (None, "ads_insights") for block in blocks):
            account = max(100.0, account)
        return _json(
            {
                "app_id_util_pct": round(app, 2),
                "acc_id_util_pct": round(account, 2),
                "ads_api_access_tier": self.tier,
            }
        )

    def clear(self) -> None:
        """Forget all usage and blocks."""
        self._app, self._app_insights = RollingSum(HOUR), RollingSum(HOUR)
        self._accounts.clear()
        self.blocks.clear()


def _json(document: object) -> str:
    return orjson.dumps(document).decode()
