"""Pure functions on account-local dates and windows; no Dagster, no clock of their own."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

SETTLED_AFTER_DAYS = 28
"""Meta restates a day for 28 days; after that its numbers are final (Insights, "Freshness")."""

KEPT_MONTHS = 37
"""Meta answers for so long, else with error 3018 (Insights, "Data retention")."""

HOURS_KEPT_MONTHS = UNIQUE_KEPT_MONTHS = 13
"""Hours and unique counts are kept for less (the same page, since 2026-01-12)."""


@dataclass(frozen=True)
class DateWindow:
    """Consecutive calendar dates, both ends included."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"the window ends ({self.end}) before it starts ({self.start})")

    @property
    def dates(self) -> list[date]:
        """Every date of the window, oldest first."""
        return [self.start + timedelta(days=n) for n in range((self.end - self.start).days + 1)]

    def since(self, first: date) -> DateWindow:
        """The part of it that is not before ``first``; ``first`` itself where there is none."""
        return DateWindow(max(self.start, first), max(self.end, first))

    @property
    def half_open_end(self) -> date:
        """The first date after the window, for half-open ranges."""
        return self.end + timedelta(days=1)


def window_of_keys(keys: Sequence[str]) -> DateWindow:
    """The window that partition keys (``YYYY-MM-DD``) span.

    Raises ``ValueError`` when there are none.
    """
    if not keys:
        raise ValueError("no partition keys: materialize a date or a range of dates")
    return DateWindow(date.fromisoformat(min(keys)), date.fromisoformat(max(keys)))


def local_today(timezone: str, now: datetime) -> date:
    """The calendar date in ``timezone`` (IANA) at the instant ``now`` (aware)."""
    return now.astimezone(ZoneInfo(timezone)).date()


def begun(dates: Iterable[date], timezone: str, now: datetime) -> list[date]:
    """The dates that have begun in the account's timezone; the others have no numbers yet."""
    today = local_today(timezone, now)
    return [day for day in dates if day <= today]


def months_before(day: date, months: int) -> date:
    """The same day of an earlier month, or that month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def is_settled(day: date, timezone: str, now: datetime) -> bool:
    """Whether ``day`` is more than 28 days old in the account's timezone."""
    return (local_today(timezone, now) - day).days > SETTLED_AFTER_DAYS


PRESETS = (
    *("today", "yesterday", "last_3d", "last_7d"),
    *("last_14d", "last_28d", "last_30d", "last_90d"),
)
"""Meta's own names for relative windows. ``last_7d`` ends yesterday, as in Ads Manager."""


def preset_window(preset: str, today: date) -> DateWindow:
    """The window a preset names, seen from ``today``.

    Raises ``ValueError`` naming the presets when the name is unknown.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}: expected one of {', '.join(PRESETS)}")
    if preset == "today":
        return DateWindow(today, today)
    yesterday = today - timedelta(days=1)
    if preset == "yesterday":
        return DateWindow(yesterday, yesterday)
    days = int(preset.removeprefix("last_").removesuffix("d"))
    return DateWindow(today - timedelta(days=days), yesterday)
