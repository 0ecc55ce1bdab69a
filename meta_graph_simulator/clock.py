"""The server's own clock: it can be set, moved and made faster without touching the machine's."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo


class SimulatedClock:
    """Simulated instants, derived from a real monotonic time source.

    ``speed`` is simulated seconds per real second; 0 freezes the clock. ``start`` None means the
    present moment of the machine.
    """

    def __init__(
        self,
        start: datetime | None = None,
        *,
        speed: float = 1.0,
        real: Callable[[], float] = time.monotonic,
    ) -> None:
        self._real = real
        self._anchor = real()
        self._base = (start or datetime.now(UTC)).timestamp()
        self._speed = self._checked(speed)

    @staticmethod
    def _checked(speed: float) -> float:
        if speed < 0:
            raise ValueError("the clock cannot run backwards: speed must be 0 or more")
        return speed

    @property
    def speed(self) -> float:
        """Simulated seconds per real second."""
        return self._speed

    def time(self) -> float:
        """Simulated Unix time in seconds."""
        return self._base + (self._real() - self._anchor) * self._speed

    def now(self) -> datetime:
        """Simulated instant, UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def today(self, timezone_name: str) -> date:
        """Simulated local date in an IANA timezone."""
        return self.now().astimezone(ZoneInfo(timezone_name)).date()

    def set(self, instant: datetime) -> None:
        """Jump to an instant (timezone-aware)."""
        if instant.tzinfo is None:
            raise ValueError("the clock needs an instant with a timezone")
        self._base, self._anchor = instant.timestamp(), self._real()

    def advance(self, seconds: float) -> None:
        """Move forward (or, negative, back) by simulated seconds."""
        self._base += seconds

    def set_speed(self, speed: float) -> None:
        """Change the speed from now on."""
        self._base, self._anchor = self.time(), self._real()
        self._speed = self._checked(speed)
