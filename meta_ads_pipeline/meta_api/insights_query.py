"""An insights query, a finished piece of its response, and the check that the two fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from meta_ads_pipeline.insights_tables import Grain, Level
from meta_ads_pipeline.meta_api.error_rules import UNEXPECTED_ROWS
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.fields import (
    HOURLY_BREAKDOWN,
    INSIGHTS_FIELDS,
    LEVEL_IDS,
    TIME_INCREMENTS,
)
from meta_ads_pipeline.meta_api.paging import LeftOut, Row
from meta_ads_pipeline.meta_api.request_planner import Mode
from meta_ads_pipeline.windows import DateWindow


@dataclass(frozen=True)
class InsightsQuery:
    """One query: whole account-local days, both ends included; ``only`` narrows it to ids.

    The grain is what a row covers. Rows of more than a day follow each other from ``since`` on; a
    month is a calendar month, cut to the query's days. ``measures`` are asked for in place of
    those of the grain, ``attribution_windows`` beside the ad sets' own setting.
    """

    account_id: str
    level: Level
    grain: Grain
    since: date
    until: date
    only_level: Level | None = None
    only_ids: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    attribution_windows: tuple[str, ...] = ()

    @property
    def days(self) -> int:
        """How many days it covers."""
        return (self.until - self.since).days + 1

    @property
    def dates(self) -> tuple[date, ...]:
        """Its days, oldest first."""
        return tuple(DateWindow(self.since, self.until).dates)

    @property
    def key(self) -> str:
        """What page sizes and dropped fields are remembered under."""
        return f"insights/{self.level}/{self.grain}"

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the request: the ids down to the level, then the measures."""
        return LEVEL_IDS[self.level] + (self.measures or INSIGHTS_FIELDS[self.grain])

    @property
    def spans(self) -> list[tuple[date, date]]:
        """First and last day of what each row may cover, oldest first."""
        found, start = [], self.since
        while start <= self.until:
            increment = TIME_INCREMENTS[self.grain]
            if isinstance(increment, int):
                following = start + timedelta(days=increment)
            else:
                following = (start.replace(day=1) + timedelta(days=31)).replace(day=1)
            found.append((start, min(following - timedelta(days=1), self.until)))
            start = following
        return found

    def spans_apart(self) -> list[InsightsQuery]:
        """One query per day (or period), newest first."""
        return [replace(self, since=start, until=end) for start, end in reversed(self.spans)]

    def date_halves(self) -> list[InsightsQuery]:
        """Two queries of about half the days, newest first; none when it is one day or period."""
        spans = self.spans
        if len(spans) == 1:
            return []
        middle, _ = spans[len(spans) // 2]
        return [
            replace(self, since=middle),
            replace(self, until=middle - timedelta(days=1)),
        ]


@dataclass(frozen=True)
class InsightsPart:
    """A finished piece of a response. The rows are complete for every day of the query.

    ``pulled_at`` is when Meta was asked (UTC): numbers are at least as new as that. Attribution
    windows that Meta refused are no longer in the query. ``left_out`` are objects whose rows Meta
    refuses, ``missing`` fields of the query that could not be had for these rows.
    """

    query: InsightsQuery
    rows: list[Row] = field(repr=False)
    pulled_at: datetime
    mode: Mode
    left_out: tuple[LeftOut, ...] = ()
    missing: frozenset[str] = frozenset()


def check_rows(query: InsightsQuery, rows: Sequence[Row]) -> None:
    """Raise where the rows answer another question: other days (or periods), other hours.

    Single rows that do not fit beside others that do, or whose dates cannot be read, are passed on:
    they are dead letters of the landing.
    """
    expected = {(start.isoformat(), stop.isoformat()) for start, stop in query.spans}
    hourly = query.grain == "hour"
    by = "day" if hourly else query.grain
    dated = [row for row in rows if isinstance(row, dict) and _is_dated(row)]
    spans = [(row["date_start"], row["date_stop"]) for row in dated]
    if spans and expected.isdisjoint(spans):
        start, stop = spans[0]
        raise MetaApiError(
            UNEXPECTED_ROWS,
            f"asked for {query.since} to {query.until} {by} by {by}, "
            f"got a row of {start} to {stop}",
            what=f"insights of act_{query.account_id}",
            account_id=query.account_id,
        )
    if dated and all((HOURLY_BREAKDOWN in row) != hourly for row in dated):
        raise MetaApiError(
            UNEXPECTED_ROWS,
            f"asked for rows by the {query.grain}, got a row "
            f"{'without' if hourly else 'with'} an hour label",
            what=f"insights of act_{query.account_id}",
            account_id=query.account_id,
        )


def _is_dated(row: Row) -> bool:
    try:
        return all(date.fromisoformat(row[name]) for name in ("date_start", "date_stop"))
    except (KeyError, TypeError, ValueError):
        return False
