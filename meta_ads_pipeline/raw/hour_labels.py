"""From an account-local date and Meta's hour label to an instant: one explicit rule for DST.

Meta's 24 labels are wall-clock hours of the ad account's timezone. Summer time makes some of them
longer, shorter or empty:

- an hour that contains repeated time (autumn) is one bucket: it starts at its first occurrence and
  is flagged ``repeated``;
- an hour that the clocks skip whole (spring) should have no row; one that comes all the same is
  kept, starts at the first instant that exists after the gap, and is flagged ``skipped``;
- an hour skipped in part (Lord Howe moves by 30 minutes) starts where its existing part starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)

HOUR_LABELS = tuple(f"{hour:02d}:00:00 - {hour:02d}:59:59" for hour in range(24))
"""The values of ``hourly_stats_aggregated_by_advertiser_time_zone`` (Insights, "Breakdowns")."""

HOUR_OF_LABEL = {label: hour for hour, label in enumerate(HOUR_LABELS)}


@dataclass(frozen=True)
class LocalHour:
    """One hour bucket: when it starts (UTC), and how it differs from an ordinary hour."""

    event_at: datetime
    flag: str | None


@lru_cache(maxsize=4096)
def hours_of_day(day: date, timezone: str) -> tuple[LocalHour, ...]:
    """The 24 hour buckets of an account-local date in an IANA timezone, index = hour label.

    Raises ``zoneinfo.ZoneInfoNotFoundError`` when the timezone is unknown.
    """
    zone = ZoneInfo(timezone)
    midnight = datetime.combine(day, time())
    before = (midnight - _HOUR).replace(tzinfo=zone).utcoffset()
    after = (midnight + 25 * _HOUR).replace(tzinfo=zone).utcoffset()
    if before == after and before is not None:
        # No change of offset today: plain arithmetic.
        start = (midnight - before).replace(tzinfo=UTC)
        return tuple(LocalHour(start + hour * _HOUR, None) for hour in range(24))
    return tuple(_hour_at_transition(midnight + hour * _HOUR, zone) for hour in range(24))


def _hour_at_transition(local: datetime, zone: ZoneInfo) -> LocalHour:
    minutes = [local + minute * _MINUTE for minute in range(60)]
    existing = [minute for minute in minutes if _exists(minute, zone)]
    if not existing:
        return LocalHour(_first_instant_after_gap(local, zone), "skipped")
    repeated = any(_is_repeated(minute, zone) for minute in existing)
    first = existing[0].replace(tzinfo=zone, fold=0).astimezone(UTC)
    return LocalHour(first, "repeated" if repeated else None)


def _exists(local: datetime, zone: ZoneInfo) -> bool:
    instant = local.replace(tzinfo=zone).astimezone(UTC)
    return instant.astimezone(zone).replace(tzinfo=None, fold=0) == local


def _is_repeated(local: datetime, zone: ZoneInfo) -> bool:
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first != second


def _first_instant_after_gap(local: datetime, zone: ZoneInfo) -> datetime:
    """The transition itself: PEP 495 puts the two readings of a skipped time on its two sides."""
    readings = sorted(local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    low, high = readings
    offset_before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == offset_before:
            low = middle
        else:
            high = middle
    # Transitions fall on whole seconds.
    return (high + timedelta(microseconds=1)).replace(microsecond=0)
