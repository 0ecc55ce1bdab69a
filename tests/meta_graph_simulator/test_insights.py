"""Insights: everything additive adds up, at every level, grain and timezone."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_graph_simulator.accounts.generator import GeneratedAccount
from meta_graph_simulator.accounts.local_time import hour_minutes
from meta_graph_simulator.insights.run import run
from tests.meta_graph_simulator.generated_accounts import (
    COUNTS,
    HOURLY,
    LEVELS,
    LISTS,
    ZONES,
    Row,
    account,
    query,
    totals,
)


@pytest.fixture(scope="module")
def source() -> GeneratedAccount:
    return account()


# Around the days on which clocks change somewhere, and any other.
STARTS = st.one_of(
    st.sampled_from([date(2026, 3, 28), date(2026, 10, 24), date(2026, 10, 3), date(2026, 3, 7)]),
    st.dates(date(2025, 12, 1), date(2026, 11, 18)),
)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 30),
    zone=st.sampled_from(ZONES),
    currency=st.sampled_from(["EUR", "JPY", "HUF"]),
    start=STARTS,
    days=st.integers(1, 5),
    restating=st.booleans(),
)
def test_levels_and_grains_sum_exactly(
    seed: int, zone: str, currency: str, start: date, days: int, restating: bool
) -> None:
    found = account(
        ads=12,
        seed=seed,
        markets=((currency, zone),),
        restating=restating,
        from_date=date(2025, 11, 1),
    )
    span = {"since": start, "until": start + timedelta(days=days - 1)}
    whole = totals(run(found, query(**span)))
    for level in LEVELS:
        for increment in ("all_days", 1, 2, "monthly"):
            rows = run(found, query(level=level, time_increment=increment, **span))
            assert totals(rows) == whole, (level, increment)
        for increment in ("all_days", 1):
            hours = run(
                found,
                query(
                    level=level,
                    time_increment=increment,
                    breakdowns=(HOURLY,),
                    offsite_by_hour=True,
                    **span,
                ),
            )
            assert totals(hours) == whole, (level, increment, "hours")


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 30), zone=st.sampled_from(ZONES), start=STARTS)
def test_hours_carry_delivery_and_on_meta_actions_only(seed: int, zone: str, start: date) -> None:
    found = account(ads=12, seed=seed, markets=(("EUR", zone),))
    span = {"since": start, "until": start + timedelta(days=2), "time_increment": 1}
    types = found.types
    for level in LEVELS:
        key = f"{level}_id"
        fields = (key, *COUNTS, *LISTS)
        hours = run(found, query(level=level, fields=fields, breakdowns=(HOURLY,), **span))
        days = run(found, query(level=level, fields=fields, **span))
        by_object: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in hours:
            by_object[row[key], row["date_start"]].append(row)
            label, day = row[HOURLY], date.fromisoformat(row["date_start"])
            assert label == f"{label[:2]}:00:00 - {label[:2]}:59:59"
            assert hour_minutes(day, zone)[int(label[:2])] > 0
            assert "action_values" not in row
            assert {item["action_type"] for item in row.get("actions", ())} <= set(types.hourly)
        assert all(len({row[HOURLY] for row in rows}) == len(rows) for rows in by_object.values())
        for row in days:
            known = totals(by_object[row[key], row["date_start"]])
            daily = totals([row])
            assert all(daily[name] == known.get(name, 0) for name in COUNTS if name in daily)
            for name in types.hourly:
                if name not in types.daily:
                    place = f"actions:{name}:value"
                    assert daily.get(place) == known.get(place)
                else:  # `lead`: by the hour those of instant forms only
                    assert known.get(f"actions:{name}:value", 0) <= daily.get(
                        f"actions:{name}:value", 0
                    )


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 30),
    start=STARTS,
    breakdowns=st.lists(
        st.sampled_from(["age", "gender", "country", "publisher_platform", "device_platform"]),
        min_size=1,
        max_size=2,
        unique=True,
    ),
)
def test_segments_sum_exactly(seed: int, start: date, breakdowns: list[str]) -> None:
    found = account(ads=8, seed=seed)
    span = {"since": start, "until": start + timedelta(days=2)}
    whole = totals(run(found, query(**span)))
    for level in ("ad", "account"):
        rows = run(found, query(level=level, breakdowns=tuple(breakdowns), **span))
        assert totals(rows) == whole
        assert all(set(breakdowns) <= set(row) for row in rows)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 30), start=STARTS)
def test_windows_sum_exactly(seed: int, start: date) -> None:
    found = account(ads=12, seed=seed)
    windows = ("1d_click", "7d_click", "28d_click", "1d_view", "1d_ev", "dda")
    span = {
        "since": start,
        "until": start + timedelta(days=2),
        "action_attribution_windows": windows,
    }
    keys = ("value", *windows)
    whole = totals(run(found, query(**span)), keys)
    for level in LEVELS:
        assert totals(run(found, query(level=level, time_increment=1, **span)), keys) == whole
    for name in {name.rpartition(":")[0] for name in whole}:
        parts = {key: whole.get(f"{name}:{key}", Decimal(0)) for key in keys}
        if not name.startswith("actions:"):
            continue
        assert parts["1d_click"] <= parts["7d_click"] <= parts["28d_click"]
        assert parts["value"] == parts["7d_click"] + parts["1d_view"] + parts["1d_ev"]


def test_todays_hours_sum_too() -> None:
    found = account(now=datetime(2026, 11, 21, 10, 40, tzinfo=UTC))
    today = {"since": date(2026, 11, 20), "until": date(2026, 11, 22), "time_increment": 1}
    whole = totals(run(found, query(**today)))
    for level in LEVELS:
        assert totals(run(found, query(level=level, **today))) == whole
    hours = run(found, query(level="ad", breakdowns=(HOURLY,), offsite_by_hour=True, **today))
    assert totals(hours) == whole
    latest = max((row["date_start"], row[HOURLY]) for row in hours)
    assert latest == ("2026-11-21", "11:00:00 - 11:59:59")


def test_without_increments_hours_fold_over_days(source: GeneratedAccount) -> None:
    folded = run(source, query(breakdowns=(HOURLY,)))
    assert len(folded) == 24
    assert {(row["date_start"], row["date_stop"]) for row in folded} == {
        ("2026-11-01", "2026-11-14")
    }
    daily = run(source, query(breakdowns=(HOURLY,), time_increment=1))
    assert len(daily) == 24 * 14
    noon = [row for row in daily if row[HOURLY].startswith("12")]
    assert totals(noon) == totals([folded[12]])


def test_increments(source: GeneratedAccount) -> None:
    def ranges(**more: Any) -> list[tuple[str, str]]:
        rows = run(source, query(**more))
        return [(row["date_start"], row["date_stop"]) for row in rows]

    assert ranges() == [("2026-11-01", "2026-11-14")]
    assert ranges(time_increment=10) == [
        ("2026-11-01", "2026-11-10"),
        ("2026-11-11", "2026-11-14"),
    ]
    assert ranges(since=date(2026, 9, 20), time_increment="monthly") == [
        ("2026-09-20", "2026-09-30"),
        ("2026-10-01", "2026-10-31"),
        ("2026-11-01", "2026-11-14"),
    ]
