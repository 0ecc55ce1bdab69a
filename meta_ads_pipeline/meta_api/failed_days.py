"""What fails of one read of insights, kept to its days: the others are read all the same.

One bad day is found by halving (``InsightsReader.smaller``) and put aside here. Whether the rest is
worth a call is decided by what came since the last failure; where nothing did, by one row of the
oldest day that is left: what every day fails with ends the read after few calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.insights_query import InsightsQuery

MOST_FAILURES = 5
"""Failures of one read, each of other days, until the rest is taken to fail as well."""


@dataclass
class FailedDays:
    """The failures of one read so far. Not thread-safe: the read's own thread asks.

    ``is_readable`` tells by one row whether the oldest day of a query can be read.
    """

    is_readable: Callable[[InsightsQuery], bool]
    failures: list[MetaApiError] = field(default_factory=list)
    _dates: set[date] = field(default_factory=set)
    _came: bool = False

    def came(self) -> None:
        """Note that a part of the read has come."""
        self._came = True

    def covers(self, query: InsightsQuery) -> bool:
        """Whether all the query's days have failed: a piece of one is worth nothing by itself."""
        return self._dates.issuperset(query.dates)

    def take(self, error: MetaApiError) -> None:
        """Record a failure that names its days."""
        self.failures.append(replace(error, also=()))
        self._dates.update(error.dates)

    def without(
        self, query: InsightsQuery, error: MetaApiError, rest: Sequence[InsightsQuery]
    ) -> list[InsightsQuery]:
        """Put the query's days aside; what is left to ask for: see ``left``."""
        if not error.may_be_of_some_days:
            raise self.ending(error)
        self.take(replace(error, dates=query.dates))
        return self.left(rest)

    def left(self, rest: Sequence[InsightsQuery]) -> list[InsightsQuery]:
        """What of the rest, newest first, is to be asked for after the failure taken last.

        Raises that where the rest would fail, too.
        """
        left = [each for each in rest if not self.covers(each)]
        many = len(self.failures) >= MOST_FAILURES
        if left and (many or not (self._came or self.is_readable(left[-1]))):
            raise self.ending(self.failures.pop())
        self._came = False
        return left

    def ending(self, error: MetaApiError) -> MetaApiError:
        """The error that ends the read, with what failed before it."""
        return replace(error, dates=(), also=tuple(self.failures))

    def raise_first(self) -> None:
        """Raise what failed, the others with it, once all else has come."""
        if self.failures:
            first, *others = self.failures
            raise replace(first, also=tuple(others))
