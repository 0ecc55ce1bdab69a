"""Delivery of generated accounts: the same everywhere, true to life, and exact."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_graph_simulator.accounts.generator import GeneratedAccount, GeneratorConfig, generate
from meta_graph_simulator.accounts.local_time import hour_minutes, reported_share
from meta_graph_simulator.accounts.source import (
    CLICKS,
    IMPRESSIONS,
    LINK_CLICKS,
    SPEND,
    DayDelivery,
)
from tests.meta_graph_simulator.generated_accounts import NOW, ZONES, Clock, account, in_market

DAY = date(2026, 11, 10)


def digest(day: DayDelivery) -> str:
    sums = hashlib.sha256("".join(day.ad_ids).encode())
    for array in day.arrays():
        sums.update(array.tobytes())
    return sums.hexdigest()


def same(one: DayDelivery, other: DayDelivery) -> bool:
    return one.ad_ids == other.ad_ids and all(
        np.array_equal(a, b) for a, b in zip(one.arrays(), other.arrays(), strict=True)
    )


# Determinism


def test_another_process_makes_the_same_fleet() -> None:
    script = (
        "import hashlib, json\n"
        "from datetime import UTC, date, datetime\n"
        "from meta_graph_simulator.accounts.generator import GeneratorConfig, generate\n"
        "now = datetime(2026, 11, 21, 13, 7, tzinfo=UTC)\n"
        "for a in generate(GeneratorConfig(ads=12, seed=7), lambda: now):\n"
        "    d = a.delivery(date(2026, 11, 10))\n"
        "    s = hashlib.sha256(''.join(d.ad_ids).encode())\n"
        "    [s.update(x.tobytes()) for x in d.arrays()]\n"
        "    docs = json.dumps([a.account, *a.objects('ad'), *a.objects('creative')])\n"
        "    print(s.hexdigest(), hashlib.sha256(docs.encode()).hexdigest())\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    here = [digest(a.delivery(DAY)) for a in generate(GeneratorConfig(ads=12, seed=7), Clock())]
    assert [line.split()[0] for line in outputs[0].splitlines()] == here
    assert len(set(here)) == 3


def test_numbers_do_not_move_between_releases() -> None:
    """A seed is a promise to everybody who recorded expectations with it."""
    day = account(ads=10, seed=3).delivery(date(2026, 3, 3))
    assert [day.total(name) for name in ("spend", "impressions", "clicks")] == [104884, 91290, 1280]
    counts = dict(zip(day.types.daily, day.day_actions.sum(axis=0).tolist(), strict=True))
    values = dict(zip(day.types.valued, day.day_values.sum(axis=0).tolist(), strict=True))
    assert (counts["omni_purchase"], values["omni_purchase"]) == (27, 177560)
    assert (counts["view_content"], counts["lead"], counts["contact_total"]) == (330, 15, 16)


def test_a_day_does_not_depend_on_the_days_asked_before() -> None:
    forward, alone = account(ads=15), account(ads=15)
    days = [DAY - timedelta(days=number) for number in range(20)]
    walked = {day: forward.delivery(day) for day in days}
    assert same(alone.delivery(days[11]), walked[days[11]])


def test_history_stays_when_time_goes_on() -> None:
    past = date(2026, 3, 30)
    early = account(ads=20, now=datetime(2026, 4, 2, tzinfo=UTC))
    late = account(ads=20, now=datetime(2027, 6, 1, tzinfo=UTC))
    assert same(early.delivery(past), late.delivery(past))
    known = {ad["id"] for ad in early.objects("ad")}
    assert known < {ad["id"] for ad in late.objects("ad")}


def test_seed_and_account_change_everything() -> None:
    one, other = account(ads=10, seed=1), account(ads=10, seed=2)
    assert one.account["account_id"] != other.account["account_id"]
    assert one.delivery(DAY).total("spend") != other.delivery(DAY).total("spend")


# Delivery


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 50),
    zone=st.sampled_from(ZONES),
    currency=st.sampled_from(["EUR", "JPY", "HUF", "JOD"]),
    day=st.dates(date(2025, 7, 1), date(2026, 11, 20)),
)
def test_counts_contain_each_other(seed: int, zone: str, currency: str, day: date) -> None:
    delivery = in_market(currency, zone, ads=12, seed=seed).delivery(day)
    hours, types = delivery.hours, delivery.types
    assert (hours >= 0).all()
    assert (hours[:, :, CLICKS] <= hours[:, :, IMPRESSIONS]).all()
    assert (hours[:, :, LINK_CLICKS] <= hours[:, :, CLICKS]).all()
    action = {name: delivery.hour_actions[:, :, i] for i, name in enumerate(types.hourly)}
    assert np.array_equal(action["link_click"], hours[:, :, LINK_CLICKS])
    assert (action["landing_page_view"] <= action["link_click"]).all()
    parts = ("link_click", "video_view", "comment", "post_reaction", "post")
    assert np.array_equal(action["post_engagement"], sum(action[name] for name in parts))
    assert np.array_equal(action["page_engagement"], action["post_engagement"] + action["like"])
    daily = {name: delivery.day_actions[:, i] for i, name in enumerate(types.daily)}
    assert np.array_equal(daily["purchase"], daily.get("omni_purchase", daily["purchase"]))
    assert (daily["offsite_conversion.fb_pixel_purchase"] <= daily["purchase"]).all()
    assert (delivery.reach <= hours[:, :, IMPRESSIONS].sum(axis=1)).all()
    silent = hours[:, :, IMPRESSIONS] == 0
    assert not hours[silent].any()
    assert not delivery.hour_actions[silent].any()
    length = np.array(hour_minutes(day, zone))
    assert not hours[:, length == 0].any()


@pytest.mark.parametrize(
    ("zone", "day", "hour", "minutes"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 2, 0),
        ("Europe/Berlin", date(2026, 10, 25), 2, 120),
        ("America/New_York", date(2026, 3, 8), 2, 0),
        ("America/New_York", date(2026, 11, 1), 1, 120),
        ("Australia/Lord_Howe", date(2026, 10, 4), 2, 30),
        ("Australia/Lord_Howe", date(2026, 4, 5), 1, 90),
        ("Africa/Cairo", date(2026, 4, 24), 0, 0),
        ("Asia/Tokyo", date(2026, 3, 29), 2, 60),
    ],
)
def test_days_of_other_lengths(zone: str, day: date, hour: int, minutes: int) -> None:
    lengths = hour_minutes(day, zone)
    assert lengths[hour] == minutes
    assert sum(lengths) == 24 * 60 + minutes - 60
    found = in_market("EUR", zone, ads=60)
    usual = found.delivery(day + timedelta(days=7)).hours[:, hour, IMPRESSIONS].sum()
    changed = found.delivery(day).hours[:, hour, IMPRESSIONS].sum()
    if minutes == 0:
        assert changed == 0
    else:
        assert changed / usual == pytest.approx(minutes / 60, rel=0.5)


def test_today_has_only_the_hours_so_far_and_they_grow() -> None:
    clock = Clock(datetime(2026, 11, 21, 9, 20, tzinfo=UTC))  # 10:20 in Berlin
    found = GeneratedAccount(GeneratorConfig(ads=30), 0, clock)
    today = date(2026, 11, 21)
    morning = found.delivery(today)
    assert morning.hours[:, 10, IMPRESSIONS].any()
    assert not morning.hours[:, 11:].any()
    assert found.delivery(today) is morning
    assert not found.delivery(today + timedelta(days=1)).ad_ids

    def measure() -> tuple[int, ...]:
        day = found.delivery(today)
        sums = [*day.hours.sum(axis=(0, 1)), day.hour_actions.sum()]
        return tuple(map(int, [*sums, day.day_actions.sum(), day.day_values.sum()]))

    last = measure()
    for _ in range(20):
        clock.instant += timedelta(hours=1)
        grown = measure()
        assert all(now >= before for now, before in zip(grown, last, strict=True))
        last = grown
    complete = account(ads=30, now=NOW + timedelta(days=9)).delivery(today)
    assert same(found.delivery(today), complete)


def test_the_last_two_hours_still_grow() -> None:
    share = reported_share(date(2026, 11, 21), "UTC", datetime(2026, 11, 21, 12, tzinfo=UTC))
    assert share is not None
    assert share[9] == 1000
    assert 850 < share[11] < share[10] < 1000
    assert share[12] == 0


def test_within_a_quarter_of_an_hour_pulls_agree() -> None:
    clock = Clock(datetime(2026, 11, 21, 13, 1, tzinfo=UTC))
    found = GeneratedAccount(GeneratorConfig(ads=10), 0, clock)
    first = found.delivery(date(2026, 11, 21))
    clock.instant = datetime(2026, 11, 21, 13, 14, 59, tzinfo=UTC)
    assert found.delivery(date(2026, 11, 21)) is first


def test_shape_of_a_month() -> None:
    found = account(ads=40)
    days = [found.delivery(date(2026, 9, 1) + timedelta(days=n)) for n in range(28)]
    by_hour = sum(day.hours[:, :, IMPRESSIONS].sum(axis=0) for day in days)
    assert by_hour[3] < by_hour[12] < by_hour[20]
    weekend = [day.total("impressions") for day in days if day.day.weekday() >= 5]
    midweek = [day.total("impressions") for day in days if day.day.weekday() in {1, 2}]
    assert sum(weekend) / len(weekend) > sum(midweek) / len(midweek)
    assert any(((d.hours[:, :, IMPRESSIONS] > 0) & (d.hours[:, :, SPEND] == 0)).any() for d in days)
    per_day = Counter(ad for day in days for ad in day.ad_ids)
    evergreen = [ad for ad, count in per_day.items() if count > 14]
    assert any(per_day[ad] < 28 for ad in evergreen)
    hours_used = (days[0].hours[:, :, IMPRESSIONS] > 0).sum(axis=1)
    assert hours_used.min() < 24


@pytest.mark.parametrize("month", [3, 7, 11])
def test_a_day_and_a_week_spend_no_more_of_a_daily_budget_than_meta_would(month: int) -> None:
    """At most 75 % over it on a day, seven times it in a week."""
    found = account(ads=60, now=datetime(2026, month, 29, 12, tzinfo=UTC))
    by_id = found.entities().by_id
    budgets = {
        entity: int(document["daily_budget"])
        for kind in ("adset", "campaign")
        for entity, document in by_id[kind].items()
        if "daily_budget" in document
    }
    weeks: Counter[tuple[str, int]] = Counter()
    for number in range(21):
        day = found.delivery(date(2026, month, 1) + timedelta(days=number))
        spent: Counter[str] = Counter()
        for ad_id, amount in zip(day.ad_ids, day.hours[:, :, SPEND].sum(axis=1), strict=True):
            ad = by_id["ad"][ad_id]
            for entity in budgets.keys() & {ad["adset_id"], ad["campaign_id"]}:
                spent[entity] += int(amount)
                weeks[entity, number // 7] += int(amount)
        assert all(amount <= 1.75 * budgets[entity] for entity, amount in spent.items())
    assert weeks
    assert all(amount <= 7 * budgets[entity] for (entity, _), amount in weeks.items())


def test_removed_ads_have_recent_delivery_and_late_conversions() -> None:
    found = account(ads=60)
    status = {ad["id"]: ad["effective_status"] for ad in found.objects("ad")}
    recent: Counter[str] = Counter()
    late = 0
    for number in range(14):
        day = found.delivery(date(2026, 11, 8) + timedelta(days=number))
        for row, ad_id in enumerate(day.ad_ids):
            if day.hours[row].any():
                recent[status[ad_id]] += 1
            else:
                late += 1
                assert day.day_actions[row].any()
    assert recent["DELETED"]
    assert recent["ARCHIVED"]
    assert late


def test_every_delivered_ad_has_documents() -> None:
    found = account(ads=40)
    for number in range(0, 400, 37):
        day = found.delivery(date(2025, 8, 1) + timedelta(days=number))
        assert set(day.ad_ids) <= set(found.entities().by_id["ad"])


def test_the_cache_is_bounded_and_changes_nothing() -> None:
    small = GeneratedAccount(GeneratorConfig(ads=20), 0, Clock(), cache_bytes=200_000)
    first = digest(small.delivery(DAY))
    for number in range(30):
        small.delivery(DAY - timedelta(days=number))
    assert small._held <= 200_000
    assert digest(small.delivery(DAY)) == first


def test_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        account(ads=5).delivery(DAY).hours[0, 0, 0] = 1


def test_too_many_ads_is_said_clearly() -> None:
    with pytest.raises(ValueError, match="ads per account"):
        account(ads=0)
