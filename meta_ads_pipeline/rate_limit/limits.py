"""Meta's limits: which a call counts under, what a response says of them, how far to spend them.

Meta keeps four kinds (its "Rate limits" pages): of the app, of the app's insights, of an ad
account (a score), and of an ad account and use case.
"""

from __future__ import annotations

from dataclasses import dataclass

from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.usage import Usage, UseCase
from meta_ads_pipeline.rate_limit.store import HOUR, Budget, BudgetKey

SCORE_SPAN = 300.0
"""Seconds after which an ad account's score is back at zero, where the header does not say."""

DEVELOPMENT_TIER = "development_access"

# Calls an hour of one ad account for insights, and so many more for each active ad.
_INSIGHTS_BASE = {DEVELOPMENT_TIER: 600, "standard_access": 190_000}
_INSIGHTS_PER_AD = 400

_USE_CASE_CODES = range(80000, 80015)
_APP_CODE = 4
_APP_INSIGHTS_SUBCODES = (1504022, 1504039)


def hourly_limit(tier: str | None, active_ads: int) -> int:
    """Meta's limit on insights calls of one ad account and hour; the strict tier if unknown."""
    base = _INSIGHTS_BASE.get(tier or DEVELOPMENT_TIER, _INSIGHTS_BASE[DEVELOPMENT_TIER])
    return base + _INSIGHTS_PER_AD * active_ads


def limits_of_call(app: str, account_id: str, use_case: UseCase) -> list[BudgetKey]:
    """Every limit that a call counts under; ``account_id`` empty where it is of no account."""
    keys = [BudgetKey(app), BudgetKey(app, use_case=use_case.value)]
    if account_id:
        keys += [BudgetKey(app, account_id), BudgetKey(app, account_id, use_case.value)]
    return keys


def readings_of(
    app: str, account_id: str | None, use_case: UseCase, usage: Usage, now: float
) -> dict[BudgetKey, Budget]:
    """What the usage headers of a response say of each limit, in percent."""
    found: dict[BudgetKey, Budget] = {}

    def add(key: BudgetKey, percent: float | None, span: float = HOUR) -> None:
        before = found.get(key)
        if percent is not None and (before is None or percent > (before.percent or 0.0)):
            found[key] = Budget(percent, span, now, usage.tier)

    add(BudgetKey(app), usage.app_percent)
    if use_case is UseCase.INSIGHTS:
        add(BudgetKey(app, use_case=use_case.value), usage.insights_app_percent)
    if account_id:
        # Rounded up to a second: a score that is back at once has nothing left to fade.
        span = max(1.0, usage.account_reset_seconds or SCORE_SPAN)
        add(BudgetKey(app, account_id), usage.account_percent, span)
        if use_case is UseCase.INSIGHTS:
            key = BudgetKey(app, account_id, use_case.value)
            add(key, usage.insights_account_percent)
        for entry in usage.use_cases:
            # A header that names only a business speaks for the account that was asked.
            own = entry.object_id == account_id
            named = any(each.object_id == account_id for each in usage.use_cases)
            if entry.use_case and (own or (not named and entry.use_case == use_case.value)):
                add(BudgetKey(app, account_id, entry.use_case), entry.percent)
    if usage.tier and BudgetKey(app) not in found:
        found[BudgetKey(app)] = Budget(None, HOUR, now, usage.tier)
    return found


def refused_limit(
    app: str, account_id: str | None, use_case: UseCase, error: MetaApiError
) -> BudgetKey:
    """What a rate limit error blocks."""
    if error.code == _APP_CODE or account_id is None:
        insights = error.subcode in _APP_INSIGHTS_SUBCODES
        return BudgetKey(app, use_case=UseCase.INSIGHTS.value if insights else "")
    if error.code is not None and error.code in _USE_CASE_CODES:
        return BudgetKey(app, account_id, use_case.value)
    return BudgetKey(app, account_id)


@dataclass(frozen=True)
class BudgetRules:
    """How far and how fast the budget is spent. Percentages of Meta's limits, times in seconds.

    Up to ``slow_from`` (a share of what a priority may use) nothing waits; from there the pause
    between calls grows with the cube of the distance, up to ``longest_pause`` at the end, or less
    for a limit that frees itself sooner than in an hour. ``calls_per_hour`` None: the default for
    tokens of the development tier, none for others; 0: none at all. ``calls_in_flight`` of an app
    and of an ad account are those of all processes together.
    """

    ceiling_percent: float = 90.0
    warn_percent: float = 90.0
    calls_per_hour: int | None = None
    development_calls_per_hour: int = 180
    slow_from: float = 0.6
    longest_pause: float = 60.0
    longest_wait: float = 3600.0
    first_backoff: float = 30.0
    longest_backoff: float = 600.0
    calls_in_flight: int = 12
    calls_in_flight_per_account: int = 6
    seconds_between_reads: float = 1.0
    seconds_between_writes: float = 1.0

    def cap(self, tier: str | None) -> int | None:
        """Calls an hour that a token of this tier may make; None: as many as Meta lets it."""
        if self.calls_per_hour is not None:
            return self.calls_per_hour or None
        return self.development_calls_per_hour if tier == DEVELOPMENT_TIER else None

    def pause(self, load: float, span: float, calls_in_span: float | None = None) -> float:
        """Seconds between calls at this load (1: all that the priority may use).

        Where the number of calls is known, the pauses from ``slow_from`` to the end add up to the
        span: the count is never used up before it frees itself.
        """
        share = (min(load, 1.0) - self.slow_from) / (1.0 - self.slow_from)
        longest = min(self.longest_pause, span / 60)
        if calls_in_span is not None:
            longest = 4 * span / max(1.0, calls_in_span * (1.0 - self.slow_from))
        return float(longest * share**3) if share > 0 else 0.0
