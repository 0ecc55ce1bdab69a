"""Quiet hours: from when to when only what is critical is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

from meta_ads_pipeline.alerting.errors import AlertSettingError

_TEXT = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*-\s*(\d{1,2})(?::(\d{2}))?(?:\s+(\S+))?")


@dataclass(frozen=True)
class QuietHours:
    """A part of every day, in a timezone; ``end`` before ``start``: over midnight."""

    start: time
    end: time
    timezone: ZoneInfo

    def contains(self, instant: datetime) -> bool:
        """Whether an aware instant is within; the end is not."""
        at = instant.astimezone(self.timezone).time()
        if self.start <= self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end


def parse_quiet_hours(text: str) -> QuietHours:
    """``22-7 Europe/Berlin``, ``21:30-06:15``; UTC unless named. Raises
    ``AlertSettingError``.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise AlertSettingError(
            "META_ADS_ALERT_QUIET_HOURS: expected hours and a timezone, such as 22-07 Europe/Berlin"
        )
    first_hour, first_minute, last_hour, last_minute, zone = match.groups()
    try:
        return QuietHours(
            time(int(first_hour), int(first_minute or 0)),
            time(int(last_hour), int(last_minute or 0)),
            ZoneInfo(zone or "UTC"),
        )
    except (ValueError, OSError, KeyError) as error:
        raise AlertSettingError(
            f"META_ADS_ALERT_QUIET_HOURS: not hours of a day in a timezone: {text!r}"
        ) from error
