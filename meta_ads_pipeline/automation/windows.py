"""What is refreshed how often, as pure functions: windows of dates, cron, tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from math import gcd
from zoneinfo import ZoneInfo

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.partitions import FIRST_PARTITION
from meta_ads_pipeline.run_tags import RANGE_END_TAG, RANGE_START_TAG, REFRESH_TAG
from meta_ads_pipeline.windows import SETTLED_AFTER_DAYS, DateWindow, local_today

CLOSED_AFTER = timedelta(hours=6)
"""So long after an account's midnight, yesterday's last hours may still grow by the minute."""

RECENT_FROM_HOUR = 5
"""UTC hour of the first refresh of the last 28 days; the others follow at equal distances."""

REACH_FROM_HOUR = 4
"""Account-local: yesterday's last hours have come in, and the day's first reader has not."""

REACH_WEEK_DAYS = SETTLED_AFTER_DAYS + 7
"""Looked at again once a week: so each Sunday's rows are pulled once more when they are settled."""

_SUNDAY = 7


def cron_for(minutes: int) -> str:
    """A cron line that ticks at least at every multiple of ``minutes`` since midnight UTC.

    Cron has no "every 45 minutes": it ticks at the greatest common divisor with the hour, and
    ``is_due`` picks the ticks.
    """
    step = gcd(minutes, 60)
    return "0 * * * *" if step == 60 else f"*/{step} * * * *"


def is_due(tick: datetime, minutes: int) -> bool:
    """Whether an interval of ``minutes``, counted from the epoch, ends at ``tick`` (aware)."""
    return int(tick.timestamp()) // 60 % minutes == 0


def recent_cron(times_a_day: int) -> str:
    """A cron line with ``times_a_day`` ticks (1 to 24) in UTC, off the full hour's rush."""
    hours = sorted((RECENT_FROM_HOUR + 24 * n // times_a_day) % 24 for n in range(times_a_day))
    return f"20 {','.join(map(str, hours))} * * *"


def today_window(accounts: Sequence[Account], now: datetime) -> DateWindow:
    """Today in every account's timezone, and yesterday where it is not yet closed."""
    return DateWindow(
        min(_local_dates(accounts, now - CLOSED_AFTER)), max(_local_dates(accounts, now))
    )


def recent_window(accounts: Sequence[Account], now: datetime) -> DateWindow:
    """The days that Meta may still restate, 28 in every account's timezone, and the one before.

    That one has just settled: it is pulled and judged once more, to the cent.
    """
    todays = _local_dates(accounts, now)
    return DateWindow(
        min(todays) - timedelta(days=SETTLED_AFTER_DAYS + 1), max(todays) - timedelta(days=1)
    )


def reach_is_due(account: Account, last_try: datetime | None, now: datetime) -> bool:
    """Whether reach of the account's yesterday is to be asked for, for the first time this morning.

    ``last_try`` (aware) is when its slice was last begun. What failed since is left to the retries.
    """
    local = now.astimezone(ZoneInfo(account.timezone))
    morning = local.replace(hour=REACH_FROM_HOUR, minute=0, second=0, microsecond=0)
    return local >= morning and (last_try is None or last_try < morning)


def reach_window(accounts: Sequence[Account], now: datetime) -> DateWindow:
    """Yesterday where the accounts are; after a Sunday also the weeks before it."""
    yesterdays = {day - timedelta(days=1) for day in _local_dates(accounts, now)}
    starts = {
        day - timedelta(days=REACH_WEEK_DAYS - 1) if day.isoweekday() == _SUNDAY else day
        for day in yesterdays
    }
    return DateWindow(min(starts), max(yesterdays))


def range_tags(window: DateWindow, kind: str) -> Mapping[str, str]:
    """The tags of one run over the whole window, as far as there are partitions."""
    window = window.since(FIRST_PARTITION)
    return {
        RANGE_START_TAG: window.start.isoformat(),
        RANGE_END_TAG: window.end.isoformat(),
        REFRESH_TAG: kind,
    }


def _local_dates(accounts: Sequence[Account], now: datetime) -> set[date]:
    """Before the first sync no account is known: UTC stands in."""
    return {local_today(account.timezone, now) for account in accounts} or {local_today("UTC", now)}
