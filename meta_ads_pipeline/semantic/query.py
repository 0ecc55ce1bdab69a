"""What can be asked of the facts: measures over dates, by time and dimension. Checked, not run."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from meta_ads_pipeline.semantic.layer import semantic_layer

ACCOUNT_TIMEZONE = "account"
"""Each account's own, as on the date in question."""

LONGEST_DAYS = 1200
"""Somewhat more than the 37 months that Meta keeps."""


class Breakdown(StrEnum):
    """What time is cut into. Hours of the day are 0 to 23, weekdays 1 (Monday) to 7."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    HOUR_OF_DAY = "hour-of-day"
    WEEKDAY = "weekday"

    @property
    def is_by_clock(self) -> bool:
        """Whether it needs to be known at what time of the day something was."""
        return self in (Breakdown.MINUTE, Breakdown.HOUR, Breakdown.HOUR_OF_DAY)


class Comparison(StrEnum):
    """The dates to compare with: as many just before, or those a week or a year earlier."""

    PREVIOUS_PERIOD = "previous_period"
    PREVIOUS_WEEK = "previous_week"
    PREVIOUS_YEAR = "previous_year"


@lru_cache(maxsize=1)
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def known_timezone(name: str) -> str:
    """The name, where it is one of IANA's or ``account``. Raises ``ValueError``."""
    if name != ACCOUNT_TIMEZONE and name not in _timezones():
        raise ValueError(
            f"{name!r} is not an IANA timezone: expected a name such as Europe/Berlin, UTC, or "
            f"{ACCOUNT_TIMEZONE} for each account's own"
        )
    return name


class MetricQuery(BaseModel):
    """A question. Dates are inclusive and of ``timezone``; ``filters`` are by dimension.

    ``top`` keeps the groups with the most of the first measure in ``sort`` (or of the first of
    ``measures``), for each currency, and adds up the others as the rest. Raises
    ``pydantic.ValidationError`` naming the field.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: date
    end: date
    measures: tuple[str, ...] = ("spend", "impressions", "clicks")
    breakdown: Breakdown | None = None
    group_by: tuple[str, ...] = ()
    filters: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    timezone: Annotated[str, AfterValidator(known_timezone)] = ACCOUNT_TIMEZONE
    compare: Comparison | None = None
    sort: tuple[str, ...] = ()
    top: Annotated[int, Field(ge=1, le=1000)] | None = None
    limit: Annotated[int, Field(ge=1, le=100_000)] = 1000
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        layer = semantic_layer()
        if self.end < self.start:
            raise ValueError(f"end: {self.end} is before start, {self.start}")
        if (self.end - self.start).days >= LONGEST_DAYS:
            raise ValueError(f"end: more than {LONGEST_DAYS} days after start, {self.start}")
        if self.start.year < 2004 or self.end.year > 2100:
            raise ValueError("start, end: expected dates from 2004 to 2100")
        _all_of("measures", self.measures, layer.measures)
        _all_of("group_by", self.group_by, layer.dimensions)
        _all_of("filters", self.filters, layer.dimensions)
        if not self.measures:
            raise ValueError(f"measures: expected at least one of {', '.join(layer.measures)}")
        if any("\x00" in value for values in self.filters.values() for value in values):
            raise ValueError("filters: a value holds a NUL character")
        _all_of("sort", [name.removeprefix("-") for name in self.sort], self.columns)
        if self.top is not None and not self.group_by:
            raise ValueError("top: needs group_by")
        if self.top is not None and self.ranked_by in layer.not_additive:
            raise ValueError(f"top: {self.ranked_by} does not add up")
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """What rows are told apart by: ``group_by``, and the currency where there is money."""
        layer = semantic_layer()
        parts = [part for measure in self.measures for part in layer.parts(measure)]
        has_money = any(layer.sums[part].unit == "money" for part in parts)
        extra = ("currency",) if has_money else ()
        return tuple(dict.fromkeys((*self.group_by, *extra)))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the answer that can be sorted by, in order."""
        time = ("time",) if self.breakdown is not None else ()
        compared = (
            [f"{kind}_{name}" for name in self.measures for kind in ("previous", "change")]
            if self.compare is not None
            else []
        )
        return (*time, *self.groups, *dict.fromkeys(self.measures), *compared)

    @property
    def ranked_by(self) -> str:
        """The measure that ``top`` goes by."""
        layer = semantic_layer()
        named = [name.removeprefix("-") for name in self.sort]
        return next((name for name in named if name in layer.measures), self.measures[0])

    @property
    def previous_dates(self) -> tuple[date, date] | None:
        """First and last date of the comparison."""
        if self.compare is None:
            return None
        days = self.shift_days
        if days is None:
            return _year_before(self.start), _year_before(self.end)
        return self.start - timedelta(days), self.end - timedelta(days)

    @property
    def shift_days(self) -> int | None:
        """Days between the two periods; None: a calendar year.

        Whole weeks where weekdays are looked at: else Mondays would be compared with Sundays.
        """
        days = (self.end - self.start).days + 1
        if self.compare is Comparison.PREVIOUS_WEEK:
            days = 7
        elif self.compare is Comparison.PREVIOUS_YEAR:
            days = 364
        if self.breakdown in (Breakdown.WEEK, Breakdown.WEEKDAY):
            return -(-days // 7) * 7
        return None if self.compare is Comparison.PREVIOUS_YEAR else days


def _year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:  # 29 February
        return day.replace(year=day.year - 1, day=28)


def _all_of(field: str, names: object, known: object) -> None:
    expected = list(known)  # type: ignore[call-overload]
    for name in names:  # type: ignore[attr-defined]
        if name not in expected:
            raise ValueError(f"{field}: {name!r} is none of {', '.join(expected)}")
