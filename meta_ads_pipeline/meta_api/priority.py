"""Which calls go first when the budget is short: today's numbers, then older ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from datetime import date
from enum import Enum
from typing import TypeVar

from meta_ads_pipeline.windows import SETTLED_AFTER_DAYS

Result = TypeVar("Result")


class Priority(Enum):
    """The value is the share of the ceiling up to which calls of this kind may use a limit.

    What lower priorities leave is the headroom of the higher ones.
    """

    TODAY = 1.0
    YESTERDAY = 0.9
    RESTATEMENT = 0.8
    BACKFILL = 0.7

    @classmethod
    def of_dates(cls, oldest: date, today: date) -> Priority:
        """The priority of a window that begins with ``oldest``; both account-local."""
        age = (today - oldest).days
        if age <= 0:
            return cls.TODAY
        if age == 1:
            return cls.YESTERDAY
        return cls.RESTATEMENT if age <= SETTLED_AFTER_DAYS else cls.BACKFILL


_current: ContextVar[Priority] = ContextVar("priority", default=Priority.TODAY)


def current_priority() -> Priority:
    """The priority of the calls made here; without any said, the highest."""
    return _current.get()


@contextmanager
def calls_of_priority(priority: Priority) -> Iterator[None]:
    """Calls made inside the block have this priority; threads take it along by ``carried``."""
    token = _current.set(priority)
    try:
        yield
    finally:
        _current.reset(token)


def carried(work: Callable[[], Result]) -> Callable[[], Result]:
    """The work, to be done in another thread with this one's priority."""
    context = copy_context()
    return lambda: context.run(work)
