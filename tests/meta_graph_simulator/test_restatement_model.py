"""How generated days ripen: late conversions, corrected delivery, final after 28 days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_graph_simulator.accounts.generator import GeneratedAccount
from meta_graph_simulator.accounts.local_time import hour_minutes, midnight
from meta_graph_simulator.accounts.restatement import known_permille, restatement_hour
from meta_graph_simulator.accounts.source import (
    CLICKS,
    IMPRESSIONS,
    LINK_CLICKS,
    SPEND,
    DayDelivery,
)
from tests.meta_graph_simulator.generated_accounts import ZONES, Clock, account

DAYS = [date(2026, 9, 1) + timedelta(days=n) for n in range(20)]
NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


@cache
def ripening_account() -> tuple[GeneratedAccount, Clock]:
    clock = Clock(NOON)
    found = account(ads=40, restating=True, from_date=date(2026, 6, 1))
    found._clock = clock
    return found, clock


def after(day: date, days: int, hours: int = 0) -> DayDelivery:
    """The day as reported at noon UTC so many days after it."""
    found, clock = ripening_account()
    moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    clock.instant = moment + timedelta(days=days, hours=hours)
    return found.delivery(day)


def same(one: DayDelivery, other: DayDelivery) -> bool:
    return one.ad_ids == other.ad_ids and all(
        np.array_equal(a, b) for a, b in zip(one.arrays(), other.arrays(), strict=True)
    )


def test_without_it_days_are_final_at_once() -> None:
    final = account(ads=40, now=NOON + timedelta(days=60), from_date=date(2026, 6, 1))
    young = account(ads=40, now=NOON + timedelta(days=1), from_date=date(2026, 6, 1))
    assert same(young.delivery(DAYS[0]), final.delivery(DAYS[0]))
    # ... and with it they come to the same.
    assert same(after(DAYS[0], 28), final.delivery(DAYS[0]))


def test_days_are_final_after_28_and_change_before() -> None:
    for day in DAYS:
        assert same(after(day, 28), after(day, 60))
    assert any(not same(after(day, 20), after(day, 28)) for day in DAYS)


def test_a_day_that_is_over_is_never_told_as_it_was_in_the_middle_of_it() -> None:
    found, clock = ripening_account()
    day = DAYS[0] + timedelta(days=40)
    begun = midnight(day, str(found.account["timezone_name"]))
    told = []
    for hours in (13, 24 + 13):
        clock.instant = begun + timedelta(hours=hours)
        told.append(int(found.delivery(day).hours.sum()))
    assert told[1] > told[0] * 1.3


def test_conversions_come_late_as_their_windows_let_them() -> None:
    final = sum(int(after(day, 28).day_actions.sum()) for day in DAYS)
    shares = [
        sum(int(after(day, age).day_actions.sum()) for day in DAYS) / final
        for age in (1, 2, 4, 8, 15, 28)
    ]
    assert shares == sorted(shares)
    assert 0.7 < shares[0] < 0.9
    assert 0.97 < shares[3] < 1
    values = [
        sum(int(after(day, age).day_values.sum()) for day in DAYS)
        / sum(int(after(day, 28).day_values.sum()) for day in DAYS)
        for age in (1, 8)
    ]
    assert 0.55 < values[0] < 0.85, "purchases are later than page views"
    assert 0.93 < values[1] < 1


def test_delivery_is_corrected_in_the_first_days_only() -> None:
    for day in DAYS:
        at_four, final = after(day, 4), after(day, 28)
        assert np.array_equal(at_four.hours, final.hours) or at_four.ad_ids != final.ad_ids
        assert at_four.total("spend") == final.total("spend")
    young = sum(after(day, 1).total("spend") for day in DAYS)
    final_spend = sum(after(day, 28).total("spend") for day in DAYS)
    assert 0 < abs(young - final_spend) < 0.01 * final_spend
    up_and_down = {
        np.sign(after(day, 28).total("impressions") - after(day, 1).total("impressions"))
        for day in DAYS
    }
    assert {-1, 1} <= up_and_down


def test_now_and_then_a_row_vanishes() -> None:
    vanished = 0
    for day in DAYS:
        young, final = after(day, 1, hours=-6), after(day, 28)
        rows = {
            (ad, hour)
            for ad, hours in zip(young.ad_ids, young.hours, strict=True)
            for hour in np.flatnonzero(hours[:, IMPRESSIONS]).tolist()
        }
        rows_at_last = {
            (ad, hour)
            for ad, hours in zip(final.ad_ids, final.hours, strict=True)
            for hour in np.flatnonzero(hours[:, IMPRESSIONS]).tolist()
        }
        vanished += len(rows - rows_at_last)
    assert 0 < vanished < 40


@settings(max_examples=25, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    day=st.sampled_from([date(2026, 3, 29), date(2026, 10, 25), date(2026, 10, 4), DAYS[0]]),
    hours=st.integers(0, 40),
    seed=st.integers(0, 5),
)
def test_at_any_moment_rows_are_possible(zone: str, day: date, hours: int, seed: int) -> None:
    now = midnight(day, zone) + timedelta(hours=hours)
    found = account(
        ads=30,
        seed=seed,
        now=now,
        restating=True,
        markets=(("EUR", zone),),
        from_date=date(2026, 1, 1),
    ).delivery(day)
    shown, clicks = found.hours[:, :, IMPRESSIONS], found.hours[:, :, CLICKS]
    assert all((array >= 0).all() for array in found.arrays())
    assert (clicks <= shown).all()
    assert (found.hours[:, :, LINK_CLICKS] <= clicks).all()
    assert not found.hours[:, :, SPEND][shown == 0].any()
    link = found.types.hourly.index("link_click")
    assert np.array_equal(found.hour_actions[:, :, link], found.hours[:, :, LINK_CLICKS])
    skipped = np.array(hour_minutes(day, zone)) == 0
    assert not found.hours[:, skipped].any()


@pytest.mark.parametrize("click_days", [1, 7])
def test_the_curve_only_rises_and_ends_at_all(click_days: int) -> None:
    curve = [known_permille(hour, click_days=click_days) for hour in range(27 * 24 + 1)]
    assert curve == sorted(curve)
    assert curve[-1] == 1000
    assert curve[0] < 1000


@pytest.mark.parametrize(
    ("now", "hour"),
    [
        ("2026-03-29T10:00Z", 0),
        ("2026-03-29T22:59Z", 0),  # an hour after the end of a day of 23 hours
        ("2026-03-29T23:00Z", 1),
        ("2026-04-25T21:59Z", 26 * 24 + 23),
        ("2026-04-25T22:00Z", None),
    ],
)
def test_hours_count_from_the_local_end_of_the_day(now: str, hour: int | None) -> None:
    day = date(2026, 3, 29)
    assert restatement_hour(day, "Europe/Berlin", datetime.fromisoformat(now)) == hour
