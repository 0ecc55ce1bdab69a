"""What the answer to a question has to be: the facts added up without a line of SQL."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from meta_ads_pipeline.semantic.layer import semantic_layer
from meta_ads_pipeline.semantic.query import Breakdown, Comparison, MetricQuery
from tests.serving.small_marts import FIRST, LAST

LAYER = semantic_layer()
TIMEZONES = ("account", "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns",
             "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Kiritimati")  # fmt: skip
"""Among them half hours, and summer time that ends within the facts' dates, by a half hour zone."""
FACT_DIMENSIONS = {name: each.column for name, each in LAYER.dimensions.items() if not each.through}


class Facts(list[dict[str, Any]]):
    """All facts, of which a failing example is to show none."""

    def __repr__(self) -> str:
        return f"{len(self)} facts"


@st.composite
def queries(draw: st.DrawFn) -> MetricQuery:
    start = draw(st.dates(FIRST - timedelta(days=1), LAST))
    end = draw(st.dates(start, LAST + timedelta(days=1)))
    filters = draw(
        st.dictionaries(
            st.sampled_from(["account", "campaign", "provider", "goal"]),
            st.lists(st.sampled_from(["1", "2", "120", "221", "meta", "google", "sales", ""]),
                     min_size=1, max_size=4).map(tuple),
            max_size=1,
        )
    )  # fmt: skip
    return MetricQuery(
        start=start,
        end=end,
        measures=draw(
            st.lists(st.sampled_from([*LAYER.sums, *LAYER.ratios]), min_size=1, max_size=5)
        ),
        breakdown=draw(st.none() | st.sampled_from(Breakdown)),
        group_by=draw(st.lists(st.sampled_from(list(FACT_DIMENSIONS)), max_size=3, unique=True)),
        filters=filters,
        timezone=draw(st.sampled_from(TIMEZONES)),
        limit=100_000,
    )


def local(row: dict[str, Any], query: MetricQuery) -> datetime:
    zone = row["timezone"] if query.timezone == "account" else query.timezone
    return row["event_at"].astimezone(ZoneInfo(zone))


def day_of(row: dict[str, Any], query: MetricQuery) -> date:
    if query.timezone == "account" or row["grain"] == "day":
        return row["event_date"]
    return local(row, query).date()


def time_of(row: dict[str, Any], query: MetricQuery) -> Any:
    day, at = day_of(row, query), local(row, query)
    match query.breakdown:
        case None:
            return None
        case Breakdown.HOUR | Breakdown.MINUTE:
            kept = {"second": 0, "microsecond": 0}
            if query.breakdown is Breakdown.HOUR:
                kept["minute"] = 0
            cut = at.replace(**kept)
            return cut.replace(tzinfo=None) if query.timezone == "account" else cut.astimezone(UTC)
        case Breakdown.DAY:
            return day
        case Breakdown.WEEK:
            return day - timedelta(days=day.weekday())
        case Breakdown.MONTH:
            return day.replace(day=1)
        case Breakdown.WEEKDAY:
            return day.isoweekday()
        case Breakdown.HOUR_OF_DAY:
            return at.hour


def counts(row: dict[str, Any], query: MetricQuery) -> bool:
    if not query.start <= day_of(row, query) <= query.end:
        return False
    if query.breakdown is Breakdown.MINUTE and row["grain"] != "minute":
        return False
    if query.breakdown is not None and query.breakdown.is_by_clock and row["grain"] == "day":
        return False
    return all(
        (row[FACT_DIMENSIONS[name]] or "") in values for name, values in query.filters.items()
    )


def expected(facts: list[dict[str, Any]], query: MetricQuery) -> dict[tuple, dict[str, Any]]:
    """By time and groups: each sum of the facts, without a line of SQL."""
    found: dict[tuple, dict[str, Any]] = defaultdict(dict)
    for row in facts:
        if counts(row, query):
            key = (time_of(row, query), *(row[FACT_DIMENSIONS[n]] for n in query.groups))
            sums = found[key]
            for name in LAYER.sums:
                if row[name] is not None:
                    sums[name] = sums.get(name, 0) + row[name]
    return found


Key = tuple[Any, ...]
"""Time, the groups' values, and whether it is the rest."""


@st.composite
def whole_questions(draw: st.DrawFn) -> MetricQuery:
    """With a comparison, with the top groups alone, or both."""
    query = draw(queries())
    asked: dict[str, Any] = {}
    if query.group_by:
        asked["sort"] = draw(st.just(()) | st.sampled_from(query.measures).map(lambda m: (m,)))
        asked["top"] = draw(st.none() | st.integers(1, 3))
    if query.breakdown not in (Breakdown.HOUR, Breakdown.MINUTE):
        asked["compare"] = draw(st.none() | st.sampled_from(Comparison))
    return MetricQuery(**{**query.model_dump(), **asked})


def answer_by_hand(facts: list[dict[str, Any]], query: MetricQuery) -> dict[Key, dict[str, Any]]:
    """Each row's sums, and ``previous_`` ones of the comparison, by the row's key."""
    periods = {"": _shifted_sums(facts, query, 0)}
    if query.previous_dates is not None:
        first, last = query.previous_dates
        before = query.model_copy(update={"start": first, "end": last})
        periods["previous_"] = _shifted_sums(facts, before, query.shift_days)
    kept = _kept(periods, query)
    found: dict[Key, dict[str, Any]] = defaultdict(dict)
    for prefix, sums in periods.items():
        for (time, *groups), values in sums.items():
            is_rest = kept is not None and tuple(groups) not in kept
            named = [
                None if is_rest and name != "currency" else value
                for name, value in zip(query.groups, groups, strict=True)
            ]
            row = found[(time, *named, is_rest)]
            for name, value in values.items():
                row[prefix + name] = row.get(prefix + name, 0) + value
    return found


def value_by_hand(row: dict[str, Any], measure: str, prefix: str = "") -> Decimal | None:
    """A measure of a row of sums: itself, or the ratio of two, of as many digits as there are."""
    if measure in LAYER.sums:
        value = row.get(prefix + measure)
        return None if value is None else Decimal(value)
    ratio = LAYER.ratios[measure]
    of, over = row.get(prefix + ratio.of), row.get(prefix + ratio.over)
    return None if of is None or not over else ratio.factor * Decimal(of) / Decimal(over)


def _shifted_sums(
    facts: list[dict[str, Any]], query: MetricQuery, shift: int | None
) -> dict[tuple, dict[str, Any]]:
    """Sums by time and groups, the times as those of the period that is compared with."""
    if shift == 0 or query.breakdown in (None, Breakdown.WEEKDAY, Breakdown.HOUR_OF_DAY):
        return expected(facts, query)
    by_day = query.model_copy(update={"breakdown": Breakdown.DAY})
    found: dict[tuple, dict[str, Any]] = defaultdict(dict)
    for (day, *groups), sums in expected(facts, by_day).items():
        moved = day.replace(year=day.year + 1) if shift is None else day + timedelta(shift)
        if query.breakdown is Breakdown.WEEK:
            moved -= timedelta(days=moved.weekday())
        elif query.breakdown is Breakdown.MONTH:
            moved = moved.replace(day=1)
        row = found[(moved, *groups)]
        for name, value in sums.items():
            row[name] = row.get(name, 0) + value
    return found


def _kept(periods: dict[str, dict[tuple, dict[str, Any]]], query: MetricQuery) -> set | None:
    """The groups with the most of what is ranked by, of each currency; None: all."""
    if query.top is None:
        return None
    totals: dict[tuple, dict[str, Any]] = defaultdict(dict)
    for prefix, sums in periods.items():
        for (_, *groups), values in sums.items():
            total = totals[tuple(groups)]
            for name, value in values.items() if not prefix else ():
                total[name] = total.get(name, 0) + value
    by_currency: dict[Any, list[tuple]] = defaultdict(list)
    for groups in totals:
        named = dict(zip(query.groups, groups, strict=True))
        by_currency[named.get("currency")].append(groups)

    def rank(groups: tuple) -> Any:
        worth = value_by_hand(totals[groups], query.ranked_by)
        named = zip(query.groups, groups, strict=True)
        keys = [(value is None, value or "") for name, value in named if name != "currency"]
        return worth is None, -(worth or 0), keys

    return {
        groups
        for rivals in by_currency.values()
        for groups in sorted(rivals, key=rank)[: query.top]
    }
