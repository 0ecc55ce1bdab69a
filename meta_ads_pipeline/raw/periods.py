"""Which periods of reach belong to a date, and in how few requests several dates are read. Pure.

A row of reach belongs to the last day of its period. The rule looks at the date and at the
account's today, at nothing else: whatever dates are pulled together, and in whatever order, the
same rows are asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from meta_ads_pipeline.insights_tables import REACH_PERIODS, Period
from meta_ads_pipeline.windows import KEPT_MONTHS, UNIQUE_KEPT_MONTHS, months_before

_TRAILING_DAYS = {"day": 1, "7d": 7, "28d": 28}
_SUNDAY = 7

UNIQUE_NOT_KEPT = f"unique counts: Meta keeps them for {UNIQUE_KEPT_MONTHS} months"
"""Why a row is without them."""


@dataclass(frozen=True, order=True)
class Span:
    """One period of account-local days, both included.

    ``has_unique_counts``: Meta still has unique counts of all of it.
    """

    end: date
    start: date
    period: Period
    has_unique_counts: bool


@dataclass(frozen=True)
class Chain:
    """Periods of one length that follow each other without a gap: one request."""

    period: Period
    has_unique_counts: bool
    spans: tuple[Span, ...]

    @property
    def start(self) -> date:
        """The first day."""
        return self.spans[0].start

    @property
    def end(self) -> date:
        """The last day."""
        return self.spans[-1].end


def spans_ending(day: date, today: date) -> list[Span]:
    """The periods that end with ``day``, seen from the account's ``today``.

    The day itself, as soon as it has begun. Of days that are over: 7 and 28 days for Sundays, the
    calendar month for a month's last day, and all of these for yesterday, whose month may still
    run. What began before Meta's memory is left out.
    """
    if day > today:
        return []
    periods: list[Period] = ["day"]
    is_yesterday = day == today - timedelta(days=1)
    if is_yesterday or (day < today and day.isoweekday() == _SUNDAY):
        periods += ["7d", "28d"]
    if is_yesterday or (day < today and (day + timedelta(days=1)).day == 1):
        periods.append("month")
    starts = ((period, _start(day, period)) for period in periods)
    return [
        Span(day, start, period, start >= months_before(today, UNIQUE_KEPT_MONTHS))
        for period, start in starts
        if start >= months_before(today, KEPT_MONTHS)
    ]


def chains(dates: Collection[date], today: date) -> Iterator[Chain]:
    """The requests that together cover exactly the periods ending with ``dates``."""
    open_chains: dict[tuple[Period, bool, date], list[Span]] = {}
    for span in sorted(span for day in set(dates) for span in spans_ending(day, today)):
        place = (span.period, span.has_unique_counts)
        spans = open_chains.pop((*place, span.start), [])
        open_chains[*place, span.end + timedelta(days=1)] = [*spans, span]
    for (period, has_unique_counts, _), spans in sorted(open_chains.items(), key=_newest_first):
        yield Chain(period, has_unique_counts, tuple(spans))


def _start(end: date, period: Period) -> date:
    if period == "month":
        return end.replace(day=1)
    return end - timedelta(days=_TRAILING_DAYS[period] - 1)


def _newest_first(chain: tuple[tuple[Period, bool, date], Sequence[Span]]) -> tuple[int, int]:
    (period, _, after), _ = chain
    return -after.toordinal(), REACH_PERIODS.index(period)
