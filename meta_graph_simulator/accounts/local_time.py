"""Account-local time: how long each hour label of a date really lasts, and Meta's datetime text."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

HOURS_PER_DAY = 24
# Share of a day's delivery by hour, in thousandths: quiet nights, lunch and evening peaks.
DAY_PARTS = (
    *(16, 9, 6, 5, 5, 8, 18, 31, 42, 47, 49, 51),
    *(55, 53, 49, 47, 49, 53, 60, 69, 76, 78, 68, 56),
)
STEP_MINUTES = 15  # every IANA offset in use today is a multiple of it
_LAG_MINUTES = 120
_SEEN_AT_ONCE = 850  # permille of an interval's delivery that is reported when it ends


def midnight(day: date, timezone: str) -> datetime:
    """The instant at which the local date begins, UTC."""
    local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone))
    return local.astimezone(UTC)


def last_refresh(now: datetime) -> datetime:
    """When Meta last refreshed its insights: about every quarter of an hour."""
    minute = now.minute // STEP_MINUTES * STEP_MINUTES
    return now.replace(minute=minute, second=0, microsecond=0)


def local_date(instant: datetime, timezone: str) -> date:
    """The account-local date at an instant."""
    return instant.astimezone(ZoneInfo(timezone)).date()


def meta_datetime(instant: datetime, timezone: str) -> str:
    """ISO with the account's offset and without a colon in it: ``2026-01-02T03:04:05-0800``."""
    return instant.astimezone(ZoneInfo(timezone)).strftime("%Y-%m-%dT%H:%M:%S%z")


@lru_cache(maxsize=4096)
def _steps(day: date, timezone: str) -> tuple[tuple[datetime, int], ...]:
    """Start instant (UTC) and hour label of every 15-minute interval of a local date."""
    zone = ZoneInfo(timezone)
    start, end = midnight(day, timezone), midnight(day + timedelta(days=1), timezone)
    steps = []
    while start < end:
        steps.append((start, start.astimezone(zone).hour))
        start += timedelta(minutes=STEP_MINUTES)
    return tuple(steps)


@lru_cache(maxsize=4096)
def hour_minutes(day: date, timezone: str) -> tuple[int, ...]:
    """Minutes that each of the 24 hour labels lasts: 0 where spring skips it, 120 in autumn.

    Half-hour changes (Australia/Lord_Howe) give 30 and 90.
    """
    minutes = [0] * HOURS_PER_DAY
    for _, hour in _steps(day, timezone):
        minutes[hour] += STEP_MINUTES
    return tuple(minutes)


def reported_share(day: date, timezone: str, now: datetime) -> tuple[int, ...] | None:
    """Permille of each hour's delivery that is reported at ``now``; None when all of it is.

    Only intervals that have ended count, and the last two hours still grow: 85 % of an interval
    is reported at once, the rest comes in evenly over two hours.
    """
    if midnight(day + timedelta(days=1), timezone) + timedelta(minutes=_LAG_MINUTES) <= now:
        return None
    permille = [0] * HOURS_PER_DAY
    steps = [0] * HOURS_PER_DAY
    for start, hour in _steps(day, timezone):
        steps[hour] += 1
        age = int((now - start).total_seconds()) // 60 - STEP_MINUTES
        if age >= 0:
            late = 1000 - _SEEN_AT_ONCE
            permille[hour] += _SEEN_AT_ONCE + late * min(age, _LAG_MINUTES) // _LAG_MINUTES
    return tuple(
        total // count if count else 0 for total, count in zip(permille, steps, strict=True)
    )
