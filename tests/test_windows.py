"""Windows and presets: account-local calendar dates."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.windows import (
    PRESETS,
    DateWindow,
    begun,
    is_settled,
    local_today,
    preset_window,
    window_of_keys,
)

dates = st.dates(date(2023, 1, 1), date(2030, 1, 1))


@given(dates, st.integers(0, 400))
def test_a_window_has_each_date_once_and_in_order(start: date, length: int) -> None:
    window = DateWindow(start, start + timedelta(days=length))
    assert window.dates == [start + timedelta(days=n) for n in range(length + 1)]
    assert window.half_open_end == window.dates[-1] + timedelta(days=1)


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ends \(2026-01-01\) before it starts"):
        DateWindow(date(2026, 1, 2), date(2026, 1, 1))


def test_window_of_keys_spans_the_keys() -> None:
    keys = ["2026-03-02", "2026-02-27", "2026-02-28"]
    assert window_of_keys(keys) == DateWindow(date(2026, 2, 27), date(2026, 3, 2))
    with pytest.raises(ValueError, match="no partition keys"):
        window_of_keys([])


def test_today_is_the_accounts_own() -> None:
    late_in_utc = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    assert local_today("Asia/Tokyo", late_in_utc) == date(2026, 11, 21)
    assert local_today("America/New_York", late_in_utc) == date(2026, 11, 20)


def test_dates_that_have_not_begun_are_left_out() -> None:
    now = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    days = [date(2026, 11, 20), date(2026, 11, 21)]
    assert begun(days, "Asia/Tokyo", now) == days
    assert begun(days, "America/New_York", now) == days[:1]


def test_a_day_settles_after_28_days() -> None:
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    assert not is_settled(date(2026, 11, 1), "UTC", now)
    assert is_settled(date(2026, 10, 31), "UTC", now)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_end_yesterday_except_today(preset: str) -> None:
    today = date(2026, 11, 21)
    window = preset_window(preset, today)
    assert window.end == (today if preset == "today" else date(2026, 11, 20))
    if preset.endswith("d"):
        assert len(window.dates) == int(preset[5:-1])


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="last_7d"):
        preset_window("last_week", date(2026, 11, 21))
