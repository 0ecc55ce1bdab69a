"""What a clock on the wall shows, minute by minute: the oracle for every rule about local hours."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo


@cache
def minutes_by_hour(day: date, timezone: str) -> dict[tuple[date, int], list[datetime]]:
    """Which UTC minutes each local date and hour around ``day`` consists of."""
    zone = ZoneInfo(timezone)
    minute = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=16)
    hours = defaultdict(list)
    for _ in range(60 * 60):
        local = minute.astimezone(zone)
        hours[(local.date(), local.hour)].append(minute)
        minute += timedelta(minutes=1)
    return hours


def transition_days(timezone: str) -> list[date]:
    """The days on which the clocks change."""
    zone = ZoneInfo(timezone)
    midnights = [datetime(2018, 1, 1, tzinfo=zone) + timedelta(days=day) for day in range(14 * 365)]
    return [
        before.date()
        for before, after in pairwise(midnights)
        if before.utcoffset() != after.utcoffset()
    ]
