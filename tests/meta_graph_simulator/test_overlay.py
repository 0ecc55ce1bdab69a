"""Planted changes: all levels still agree, unless one is made to disagree."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_graph_simulator.accounts.generator import FleetConfig, GeneratedAccount
from meta_graph_simulator.accounts.overlay import Overlay
from meta_graph_simulator.accounts.source import LevelFault
from meta_graph_simulator.insights.run import InsightsQuery, run
from tests.meta_graph_simulator.generated_accounts import HOURLY, LEVELS, Clock

DAY = date(2026, 11, 10)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def overlay(clock: Clock) -> Overlay:
    return Overlay(GeneratedAccount(FleetConfig(ads=12), 0, clock))


def rows(source: Overlay, level: str = "account", day: date = DAY, **more: Any) -> list[Any]:
    values = {
        "fields": (f"{level}_id", "spend", "impressions", "actions"),
        "time_increment": 1,
        "hide_removed": False,
    }
    return run(source, InsightsQuery(day, day, level, **{**values, **more}))  # type: ignore[arg-type]


def spend(source: Overlay, level: str = "account", day: date = DAY, **more: Any) -> Decimal:
    return sum((Decimal(row["spend"]) for row in rows(source, level, day, **more)), Decimal(0))


def spends(source: Overlay, day: date = DAY) -> set[Decimal]:
    """The day's spend by every way of asking for it."""
    asked = {spend(source, level, day) for level in LEVELS}
    return asked | {spend(source, level, day, breakdowns=(HOURLY,)) for level in LEVELS}


def test_without_changes_it_is_transparent(overlay: Overlay, clock: Clock) -> None:
    base = GeneratedAccount(FleetConfig(ads=12), 0, clock)
    assert overlay.account == base.account
    assert overlay.delivery(DAY).ad_ids == base.delivery(DAY).ad_ids
    assert overlay.objects("ad") == base.objects("ad")


@settings(max_examples=20, deadline=None)
@given(
    factor=st.sampled_from(["0", "0.5", "0.97", "1.1", "3"]),
    one_ad=st.booleans(),
    vanish_hour=st.none() | st.integers(0, 23),
    vanish=st.booleans(),
)
def test_changes_are_the_same_at_every_level(
    factor: str, one_ad: bool, vanish_hour: int | None, vanish: bool
) -> None:
    overlay = Overlay(GeneratedAccount(FleetConfig(ads=12), 0, Clock()))
    ad = overlay.delivery(DAY).ad_ids[3] if one_ad else None
    before = spends(overlay)
    overlay.restate([DAY], factor, ad_id=ad)
    if vanish:
        overlay.vanish([DAY], ad_id=ad, hour=vanish_hour)
    after = spends(overlay)
    assert len(before) == len(after) == 1
    if factor != "1.1" and not vanish:
        assert (max(after) > max(before)) == (factor == "3")
    hours = overlay.delivery(DAY).hours
    assert not hours[hours[:, :, 1] == 0].any()


def test_restated_days_only(overlay: Overlay) -> None:
    other = DAY - timedelta(days=1)
    untouched, before = spend(overlay, day=other), spend(overlay)
    overlay.restate([DAY], "0.9")
    assert spend(overlay, day=other) == untouched
    assert spend(overlay) == pytest.approx(before * Decimal("0.9"), rel=Decimal("0.01"))
    overlay.clear()
    assert spend(overlay) == before


def test_a_vanished_hour_leaves_no_row(overlay: Overlay) -> None:
    overlay.vanish([DAY], hour=12)
    labels = {row[HOURLY][:2] for row in rows(overlay, breakdowns=(HOURLY,))}
    assert "12" not in labels
    assert "13" in labels


def test_a_vanished_day_leaves_no_row(overlay: Overlay) -> None:
    overlay.vanish([DAY])
    assert not rows(overlay, "ad")
    assert not rows(overlay)


def test_explicit_amounts(overlay: Overlay) -> None:
    row = next(row for row in rows(overlay, "ad") if row["impressions"] != "0")
    before = spend(overlay)
    overlay.adjust(row["ad_id"], DAY, {"spend": 1234, "impressions": 10}, hour=12)
    overlay.adjust(row["ad_id"], DAY, {"purchase": 7, "value:purchase": 995})
    assert spends(overlay) == {before + Decimal("12.34")}
    (after,) = rows(overlay, "ad", object_id=row["ad_id"], fields=("actions", "action_values"))
    found = {item["action_type"]: int(item["value"]) for item in after["actions"]}
    had = {item["action_type"]: int(item["value"]) for item in row.get("actions", ())}
    assert found["purchase"] == had.get("purchase", 0) + 7
    with pytest.raises(ValueError, match="no measure"):
        overlay.adjust(row["ad_id"], DAY, {"purchase": 1}, hour=3)
    with pytest.raises(ValueError, match="no measure"):
        overlay.adjust(row["ad_id"], DAY, {"spend": 1})


@pytest.mark.parametrize("kind", ["campaign", "adset", "ad"])
def test_deleting_takes_what_is_under_it(overlay: Overlay, clock: Clock, kind: str) -> None:
    yesterday = clock.instant.date() - timedelta(days=1)
    ad = next(
        ad
        for ad in overlay.objects("ad")
        if ad["effective_status"] == "ACTIVE" and ad["id"] in overlay.delivery(yesterday).ad_ids
    )
    target = ad["id"] if kind == "ad" else ad[f"{kind}_id"]
    history = spend(overlay)
    overlay.delete_object(target)
    deleted = overlay.entities().by_id["ad"][ad["id"]]
    assert deleted["effective_status"] == deleted["status"] == "DELETED"
    assert deleted["updated_time"] == "2026-11-21T14:07:00+0100"
    found = overlay.entities().find(target)
    assert found is not None
    assert found[1]["status"] == "DELETED"
    assert spend(overlay) == history
    shown = {row["ad_id"] for row in rows(overlay, "ad", hide_removed=True)}
    assert ad["id"] not in shown
    clock.instant += timedelta(days=3)
    assert ad["id"] not in overlay.delivery(date(2026, 11, 23)).ad_ids
    today = overlay.delivery(date(2026, 11, 21))
    assert not today.hours[today.ad_ids.index(ad["id"]), 15:].any()
    assert len(spends(overlay, date(2026, 11, 21))) == 1


def test_deleting_the_unknown(overlay: Overlay) -> None:
    with pytest.raises(KeyError, match="77"):
        overlay.delete_object("77")


def test_one_level_drops_an_ad(overlay: Overlay) -> None:
    ad = max(rows(overlay, "ad"), key=lambda row: Decimal(row["spend"]))
    whole = spend(overlay)
    overlay.plant_level_fault(LevelFault("ad", "drop", ad["ad_id"], DAY))
    assert spend(overlay, "ad") == whole - Decimal(ad["spend"])
    assert spend(overlay, "campaign") == spend(overlay) == whole
    assert ad["ad_id"] not in {row["ad_id"] for row in rows(overlay, "ad")}
    assert spend(overlay, "ad", DAY - timedelta(days=1)) == spend(
        overlay, day=DAY - timedelta(days=1)
    )


def test_one_level_repeats_rows(overlay: Overlay) -> None:
    single = len(rows(overlay, "ad"))
    overlay.plant_level_fault(LevelFault("ad", "repeat"))
    assert len(rows(overlay, "ad")) == 2 * single
    assert spend(overlay, "ad") == 2 * spend(overlay)
    overlay.clear()
    assert len(rows(overlay, "ad")) == single


def test_the_whole_level_dropped(overlay: Overlay) -> None:
    overlay.plant_level_fault(LevelFault("account", "drop", day=DAY))
    assert not rows(overlay)
    assert rows(overlay, "ad")
