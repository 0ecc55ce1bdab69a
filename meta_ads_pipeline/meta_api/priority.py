"""Which calls go first when the budget is short: today's numbers, then older ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, timedelta
from enum import Enum

from meta_ads_pipeline.windows import SETTLED_AFTER_DAYS


class Priority(Enum):
    """The value is the share of the ceiling up to which calls of this kind may use a limit.

    What lower priorities leave is the headroom of the higher ones.
    """

    TODAY = 1.0
    YESTERDAY = 0.9
    RESTATEMENT = 0.8
    BACKFILL = 0.7

    @classmethod
    def of_dates(cls, newest: date, today: date) -> Priority:
        """The priority of a query about days up to ``newest``; both account-local.

        Older days that come in the same response cost nothing of their own: the planner asks for
        them by themselves where they do.
        """
        age = (today - newest).days
        if age <= 0:
            return cls.TODAY
        if age == 1:
            return cls.YESTERDAY
        return cls.RESTATEMENT if age <= SETTLED_AFTER_DAYS else cls.BACKFILL


_current: ContextVar[Priority | None] = ContextVar("priority", default=None)


def current_priority() -> Priority:
    """The priority of the calls made here; without any said, the highest."""
    return _current.get() or Priority.TODAY


@contextmanager
def calls_of_priority(priority: Priority) -> Iterator[None]:
    """Calls made inside the block have this priority; ``waiting.carried`` takes it to threads."""
    token = _current.set(priority)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def calls_about(newest: date, today: date | None) -> Iterator[None]:
    """Calls made inside the block have the priority of these days, unless one was said before.

    ``today`` None: not known, so nothing is said.
    """
    if today is None or _current.get() is not None:
        yield
        return
    with calls_of_priority(Priority.of_dates(newest, today)):
        yield


def days_by_priority(start: date, end: date, today: date) -> list[tuple[date, date]]:
    """The days from ``start`` to ``end`` as spans of one priority each, newest first."""
    ends = (today - timedelta(days=back) for back in (1, 2, SETTLED_AFTER_DAYS + 1))
    bounds = [day for day in ends if start <= day < end]
    lasts = [end, *bounds]
    firsts = [day + timedelta(days=1) for day in bounds] + [start]
    return list(zip(firsts, lasts, strict=True))
