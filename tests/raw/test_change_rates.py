"""What is expected to have changed since a day was last pulled."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.raw.change_rates import (
    BANDS,
    USUAL_RATES,
    ChangeRates,
    band_of,
    closed_at,
    waiting,
)

DAY = date(2026, 10, 24)  # the day before Berlin's clocks go back
ZONE = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_bands_cover_every_age() -> None:
    assert [band_of(age) for age in (1, 2, 3, 4, 7, 8, 14, 15, 28)] == [0, 1, 2, 3, 3, 4, 4, 5, 5]
    assert len(BANDS) == len(USUAL_RATES)


def test_time_is_split_at_the_account_s_midnights() -> None:
    waits = dict(waiting(DAY, ZONE, at("2026-10-25T12:00Z"), at("2026-10-26T11:00Z")))
    assert waits == {1: pytest.approx(11 / 24), 2: pytest.approx(12 / 24)}
    # A day of 25 hours, then what is left of the window of 28 days.
    assert dict(waiting(DAY, ZONE, at("2026-10-24T22:00Z"), at("2026-10-25T23:00Z"))) == {
        1: pytest.approx(25 / 24)
    }
    assert dict(waiting(DAY, ZONE, at("2026-11-21T23:00Z"), at("2026-12-31T00:00Z"))) == {}


@given(st.integers(0, 700), st.integers(0, 700))
def test_no_time_is_lost_or_counted_twice(first: int, length: int) -> None:
    since = datetime(2026, 10, 24, 22, tzinfo=UTC) + timedelta(hours=first)
    until = since + timedelta(hours=length)
    end = datetime(2026, 11, 21, 23, tzinfo=UTC)  # of the 28th day after
    expected = max(timedelta(), min(until, end) - min(since, end)).total_seconds() / 86_400
    assert sum(days for _, days in waiting(DAY, ZONE, since, until)) == pytest.approx(expected)


def test_evidence_outweighs_the_assumption_as_it_grows() -> None:
    rates = ChangeRates(usual={"spend": 100.0}, watched={0: 0.0})
    assert rates.rate("spend", 1) == pytest.approx(USUAL_RATES[0])
    quiet = [ChangeRates({"spend": 100.0}, watched={0: days}).rate("spend", 1) for days in (3, 300)]
    assert quiet[0] == pytest.approx(USUAL_RATES[0] / 2)
    assert quiet[1] < 0.001
    busy = ChangeRates({"spend": 100.0}, changes={("spend", 0): 6000.0}, watched={0: 300.0})
    assert busy.rate("spend", 1) == pytest.approx(0.2, abs=0.002)


def test_a_few_late_purchases_of_a_small_account_are_no_rate() -> None:
    changes = {("actions:purchase", 0): 3.0}
    small = ChangeRates({"actions:purchase": 2.0}, changes=changes, watched={0: 3.0})
    assert small.rate("actions:purchase", 1) < 0.1, "0.5 by the evidence alone"


def test_the_measure_that_changes_most_is_named_and_weighs_by_the_day() -> None:
    rates = ChangeRates(
        usual={"spend": 100.0, "actions:purchase": 1000.0},
        values={DAY: {"spend": 100.0, "actions:purchase": 2000.0}},
    )
    since = at("2026-10-25T12:00Z")
    change, measure = rates.expected_change(DAY, ZONE, since, since + timedelta(hours=6))
    assert measure == "actions:purchase", "twice as many as usual"
    assert change == pytest.approx(2 * USUAL_RATES[0] / 4)
    nothing = rates.expected_change(DAY - timedelta(days=5), ZONE, since, since)
    assert nothing[0] == 0
    unknown = ChangeRates().expected_change(DAY, ZONE, since, since + timedelta(hours=6))
    assert unknown == (pytest.approx(USUAL_RATES[0] / 4), None)


def test_a_day_counts_from_when_it_was_whole() -> None:
    rates = ChangeRates()
    whole = closed_at(DAY, ZONE)
    assert whole == at("2026-10-25T04:00Z"), "six hours after midnight, on a day of 25"
    early, _ = rates.expected_change(DAY, ZONE, at("2026-10-24T08:00Z"), whole)
    assert early == 0
