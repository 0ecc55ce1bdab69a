"""The fold rule, against an oracle that walks through every minute of the surrounding days."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meta_ads_pipeline.raw.hour_labels import HOUR_OF_LABEL, hours_of_day
from tests.wall_clock import minutes_by_hour, transition_days

ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "America/Santiago",  # changes at midnight
    "Africa/Cairo",
)


TRANSITION_DAYS = {zone: transition_days(zone) for zone in ZONES}


@st.composite
def zoned_days(draw: st.DrawFn) -> tuple[str, date]:
    timezone = draw(st.sampled_from(ZONES))
    any_day = st.dates(date(2018, 1, 1), date(2031, 12, 31))
    changes = TRANSITION_DAYS[timezone]
    near = st.sampled_from(changes) if changes else any_day
    return timezone, draw(near | any_day)


@given(zoned_days())
@example(("Australia/Lord_Howe", date(2026, 10, 4)))
@example(("Australia/Lord_Howe", date(2026, 4, 5)))
@example(("America/New_York", date(2026, 3, 8)))
@example(("America/New_York", date(2026, 11, 1)))
def test_every_hour_starts_at_its_first_minute_and_says_how_it_differs(zoned_day):
    timezone, day = zoned_day
    wall_clock = minutes_by_hour(day, timezone)
    for hour, bucket in enumerate(hours_of_day(day, timezone)):
        minutes = wall_clock.get((day, hour), [])
        if not minutes:
            following = [
                instants[0] for (d, h), instants in wall_clock.items() if (d, h) > (day, hour)
            ]
            assert bucket.event_at == min(following)
            assert bucket.flag == "skipped"
        else:
            assert bucket.event_at == minutes[0]
            local_minutes = {m.astimezone(ZoneInfo(timezone)).minute for m in minutes}
            assert bucket.flag == ("repeated" if len(minutes) > len(local_minutes) else None)


@pytest.mark.parametrize(
    ("timezone", "day", "hour", "event_at", "flag"),
    [
        ("America/New_York", date(2026, 11, 1), 1, "2026-11-01T05:00+00:00", "repeated"),
        ("America/New_York", date(2026, 11, 1), 2, "2026-11-01T07:00+00:00", None),
        ("America/New_York", date(2026, 3, 8), 2, "2026-03-08T07:00+00:00", "skipped"),
        ("America/New_York", date(2026, 3, 8), 3, "2026-03-08T07:00+00:00", None),
        ("Europe/Berlin", date(2026, 10, 25), 2, "2026-10-25T00:00+00:00", "repeated"),
        ("Europe/Berlin", date(2026, 3, 29), 2, "2026-03-29T01:00+00:00", "skipped"),
        # Half an hour: 2 o'clock in spring begins at half past; 1 o'clock in autumn takes 90 min.
        ("Australia/Lord_Howe", date(2026, 10, 4), 2, "2026-10-03T15:30+00:00", None),
        ("Australia/Lord_Howe", date(2026, 4, 5), 1, "2026-04-04T14:00+00:00", "repeated"),
        ("Asia/Kolkata", date(2026, 11, 20), 0, "2026-11-19T18:30+00:00", None),
        ("Asia/Tokyo", date(2026, 11, 20), 23, "2026-11-20T14:00+00:00", None),
        # Midnight itself is skipped.
        ("America/Santiago", date(2026, 9, 6), 0, "2026-09-06T04:00+00:00", "skipped"),
    ],
)
def test_known_hours(timezone, day, hour, event_at, flag):
    bucket = hours_of_day(day, timezone)[hour]
    assert bucket.event_at == datetime.fromisoformat(event_at)
    assert bucket.flag == flag


def test_a_recorded_row_falls_on_the_utc_hour_that_others_computed(shared_data: Path):
    sample = json.loads((shared_data / "api_samples/insights/07.json").read_text())
    (row,) = sample["data"]
    hour = HOUR_OF_LABEL[row["hourly_stats_aggregated_by_advertiser_time_zone"]]
    day = date.fromisoformat(row["date_start"])
    expected = datetime.fromisoformat(sample["_expected_utc_hour"]).replace(tzinfo=UTC)
    assert hours_of_day(day, sample["_account_timezone"])[hour].event_at == expected


def test_an_unknown_timezone_is_an_error():
    with pytest.raises(ZoneInfoNotFoundError):
        hours_of_day(date(2026, 1, 1), "Mars/Olympus")
