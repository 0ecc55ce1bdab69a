"""Minor units as Meta counts them, and the length of local days."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_graph_simulator.accounts.currencies import major_text, minor_units, offset, ratio_text
from meta_graph_simulator.accounts.local_time import hour_minutes, local_date
from tests.meta_graph_simulator.generated_accounts import ZONES


@pytest.mark.parametrize(
    ("currency", "minor", "text"),
    [
        ("EUR", 1230, "12.3"),
        ("EUR", 7, "0.07"),
        ("USD", 1200, "12"),
        ("JPY", 1200, "1200"),
        ("HUF", 15, "15"),
        ("TWD", 3, "3"),
        ("JOD", 105, "1.05"),
        ("BHD", 1, "0.01"),
    ],
)
def test_money_texts(currency: str, minor: int, text: str) -> None:
    assert major_text(minor, offset(currency)) == text
    assert minor_units(text, currency) == minor


def test_money_finer_than_a_minor_unit_is_rounded() -> None:
    assert [minor_units(text, "JPY") for text in ("0.4", "0.5")] == [0, 1]
    assert minor_units("59.995", "EUR") == 6000


@given(st.integers(0, 10**9), st.integers(1, 10**6))
def test_ratios_are_rounded_half_up(top: int, bottom: int) -> None:
    text = ratio_text(top, bottom)
    assert abs(float(text) - top / bottom) <= 0.5000001e-6 + top / bottom * 1e-12
    assert not re.search(r"\.\d*0$", text)


@settings(max_examples=60)
@given(st.sampled_from(ZONES), st.dates(date(2024, 1, 1), date(2027, 12, 31)))
def test_local_hours_cover_the_day(zone: str, day: date) -> None:
    minutes = hour_minutes(day, zone)
    assert len(minutes) == 24
    assert sum(minutes) in {1380, 1410, 1440, 1470, 1500}
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    assert abs((local_date(noon, zone) - day).days) <= 1
