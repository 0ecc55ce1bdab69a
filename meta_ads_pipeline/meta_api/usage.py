"""How much of Meta's call limits is used up, read from the headers of a response.

Each header has its own unit (Meta's "Rate limits" pages): percentages everywhere, but the time to
wait comes in minutes from X-Business-Use-Case-Usage and in seconds from X-Ad-Account-Usage. Here
everything is seconds. Headers are optional, on errors too, and their names come in any case.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LONGEST_WAIT = 3600.0
"""What is believed of a wait that Meta asks for, in seconds; longer ones are cut to it.

Every limit on these calls is over an hour that rolls, or a score that is back in minutes ("Rate
limits" pages): after an hour without calls nothing is left that counts. A longer hint is in another
unit or an instant, and believed it would keep all processes from calling for years. Where calls are
refused still, the one call that tries tells, and the hint is asked for again.
"""


class UseCase(StrEnum):
    """What Meta counts separately for each ad account."""

    INSIGHTS = "ads_insights"
    MANAGEMENT = "ads_management"


@dataclass(frozen=True)
class UseCaseUsage:
    """One entry of X-Business-Use-Case-Usage; the object is an ad account or a business."""

    object_id: str
    use_case: str
    percent: float
    retry_after_seconds: float
    tier: str | None = None


@dataclass(frozen=True)
class Usage:
    """The usage headers of one response; percentages are 0 to 100 and may exceed it."""

    app_percent: float | None = None
    account_percent: float | None = None
    account_reset_seconds: float | None = None
    insights_app_percent: float | None = None
    insights_account_percent: float | None = None
    use_cases: tuple[UseCaseUsage, ...] = ()
    tier: str | None = None

    def percent(self, use_case: UseCase, account_id: str | None = None) -> float:
        """The highest percentage that bears on a call of this use case; 0 when none is known."""
        figures = [self.app_percent, self.account_percent]
        if use_case is UseCase.INSIGHTS:
            figures += [self.insights_app_percent, self.insights_account_percent]
        figures += [each.percent for each in self._relevant(use_case, account_id)]
        return max((figure for figure in figures if figure is not None), default=0.0)

    def retry_after_seconds(self, use_case: UseCase, account_id: str | None = None) -> float | None:
        """How long Meta says to wait before calls of this use case succeed again.

        The account's reset time counts only when the account's score is used up: otherwise it
        merely says when the score is back at zero.
        """
        waits = [each.retry_after_seconds for each in self._relevant(use_case, account_id)]
        if self.account_reset_seconds and (self.account_percent or 0.0) >= 100:
            waits.append(self.account_reset_seconds)
        longest = max(waits, default=0.0)
        return longest if longest > 0 else None

    def _relevant(self, use_case: UseCase, account_id: str | None) -> list[UseCaseUsage]:
        """Entries of this use case, of this account where the header names it."""
        same = [each for each in self.use_cases if each.use_case == use_case]
        own = [each for each in same if account_id and each.object_id == account_id]
        return own or same


def parse_usage(headers: Mapping[str, str]) -> Usage:
    """Read the four usage headers; whatever is absent or unreadable is left out."""
    lower = {str(name).lower(): value for name, value in headers.items()}
    app = _document(lower.get("x-app-usage"))
    account = _document(lower.get("x-ad-account-usage"))
    throttle = _document(lower.get("x-fb-ads-insights-throttle"))
    use_cases = tuple(_use_cases(_document(lower.get("x-business-use-case-usage"))))
    tiers = (
        account.get("ads_api_access_tier"),
        throttle.get("ads_api_access_tier"),
        *(each.tier for each in use_cases),
    )
    return Usage(
        app_percent=_highest(app, "call_count", "total_time", "total_cputime"),
        account_percent=_highest(account, "acc_id_util_pct"),
        account_reset_seconds=_wait(account, "reset_time_duration", unit=1.0),
        insights_app_percent=_highest(throttle, "app_id_util_pct"),
        insights_account_percent=_highest(throttle, "acc_id_util_pct"),
        use_cases=use_cases,
        tier=next((str(tier) for tier in tiers if tier), None),
    )


def _use_cases(document: Mapping[str, Any]) -> list[UseCaseUsage]:
    found: list[UseCaseUsage] = []
    for object_id, entries in document.items():
        for entry in entries if isinstance(entries, list) else []:
            if not isinstance(entry, Mapping):
                continue
            wait = _wait(entry, "estimated_time_to_regain_access", unit=60.0)
            found.append(
                UseCaseUsage(
                    object_id=str(object_id),
                    use_case=str(entry.get("type", "")),
                    percent=_highest(entry, "call_count", "total_cputime", "total_time") or 0.0,
                    retry_after_seconds=wait or 0.0,
                    tier=str(entry["ads_api_access_tier"])
                    if entry.get("ads_api_access_tier")
                    else None,
                )
            )
    return found


def _document(text: str | None) -> Mapping[str, Any]:
    """A header's JSON object, or an empty one."""
    try:
        value = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, Mapping) else {}


def _wait(document: Mapping[str, Any], name: str, *, unit: float) -> float | None:
    """A wait given in units of so many seconds, as far as it is believed."""
    figure = _highest(document, name)
    return None if figure is None else min(max(0.0, figure * unit), LONGEST_WAIT)


def _highest(document: Mapping[str, Any], *names: str) -> float | None:
    figures = []
    for name in names:
        try:
            figures.append(float(document[name]))
        except (KeyError, OverflowError, TypeError, ValueError):
            continue
    # JSON has no NaN and no infinity, but Python reads them, from text too.
    return max((figure for figure in figures if math.isfinite(figure)), default=None)
