"""Planted changes: all levels still agree, unless one is made to disagree."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_graph_simulator.accounts.changes import ChangeableAccount
from meta_graph_simulator.accounts.generator import GeneratedAccount, GeneratorConfig
from meta_graph_simulator.accounts.source import Kind, LevelFault
from meta_graph_simulator.insights.run import InsightsQuery, run
from tests.meta_graph_simulator.generated_accounts import HOURLY, LEVELS, Clock

DAY = date(2026, 11, 10)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def changed(clock: Clock) -> ChangeableAccount:
    return ChangeableAccount(GeneratedAccount(GeneratorConfig(ads=12), 0, clock))


def rows(
    source: ChangeableAccount, level: str = "account", day: date = DAY, **more: Any
) -> list[Any]:
    values = {
        "fields": (f"{level}_id", "spend", "impressions", "actions"),
        "time_increment": 1,
        "hide_removed": False,
    }
    return run(source, InsightsQuery(day, day, level, **{**values, **more}))  # type: ignore[arg-type]


def spend(
    source: ChangeableAccount, level: str = "account", day: date = DAY, **more: Any
) -> Decimal:
    return sum((Decimal(row["spend"]) for row in rows(source, level, day, **more)), Decimal(0))


def spends(source: ChangeableAccount, day: date = DAY) -> set[Decimal]:
    """The day's spend by every way of asking for it."""
    asked = {spend(source, level, day) for level in LEVELS}
    return asked | {spend(source, level, day, breakdowns=(HOURLY,)) for level in LEVELS}


def test_without_changes_it_is_transparent(changed: ChangeableAccount, clock: Clock) -> None:
    base = GeneratedAccount(GeneratorConfig(ads=12), 0, clock)
    assert changed.account == base.account
    assert changed.delivery(DAY).ad_ids == base.delivery(DAY).ad_ids
    assert changed.objects("ad") == base.objects("ad")


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
    changed = ChangeableAccount(GeneratedAccount(GeneratorConfig(ads=12), 0, Clock()))
    ad = changed.delivery(DAY).ad_ids[3] if one_ad else None
    before = spends(changed)
    changed.restate([DAY], factor, ad_id=ad)
    if vanish:
        changed.vanish([DAY], ad_id=ad, hour=vanish_hour)
    after = spends(changed)
    assert len(before) == len(after) == 1
    if factor != "1.1" and not vanish:
        assert (max(after) > max(before)) == (factor == "3")
    hours = changed.delivery(DAY).hours
    assert not hours[hours[:, :, 1] == 0].any()


def test_restated_days_only(changed: ChangeableAccount) -> None:
    other = DAY - timedelta(days=1)
    untouched, before = spend(changed, day=other), spend(changed)
    changed.restate([DAY], "0.9")
    assert spend(changed, day=other) == untouched
    assert spend(changed) == pytest.approx(before * Decimal("0.9"), rel=Decimal("0.01"))
    changed.clear()
    assert spend(changed) == before


def test_a_vanished_hour_leaves_no_row(changed: ChangeableAccount) -> None:
    changed.vanish([DAY], hour=12)
    labels = {row[HOURLY][:2] for row in rows(changed, breakdowns=(HOURLY,))}
    assert "12" not in labels
    assert "13" in labels


def test_a_vanished_day_leaves_no_row(changed: ChangeableAccount) -> None:
    changed.vanish([DAY])
    assert not rows(changed, "ad")
    assert not rows(changed)


def test_explicit_amounts(changed: ChangeableAccount) -> None:
    row = next(row for row in rows(changed, "ad") if row["impressions"] != "0")
    before = spend(changed)
    changed.adjust(row["ad_id"], DAY, {"spend": 1234, "impressions": 10}, hour=12)
    changed.adjust(row["ad_id"], DAY, {"purchase": 7, "value:purchase": 995})
    assert spends(changed) == {before + Decimal("12.34")}
    (after,) = rows(changed, "ad", object_id=row["ad_id"], fields=("actions", "action_values"))
    found = {item["action_type"]: int(item["value"]) for item in after["actions"]}
    had = {item["action_type"]: int(item["value"]) for item in row.get("actions", ())}
    assert found["purchase"] == had.get("purchase", 0) + 7
    with pytest.raises(ValueError, match="no measure"):
        changed.adjust(row["ad_id"], DAY, {"purchase": 1}, hour=3)
    with pytest.raises(ValueError, match="no measure"):
        changed.adjust(row["ad_id"], DAY, {"spend": 1})


@pytest.mark.parametrize("kind", ["campaign", "adset", "ad"])
def test_deleting_takes_what_is_under_it(
    changed: ChangeableAccount, clock: Clock, kind: str
) -> None:
    yesterday = clock.instant.date() - timedelta(days=1)
    ad = next(
        ad
        for ad in changed.objects("ad")
        if ad["effective_status"] == "ACTIVE" and ad["id"] in changed.delivery(yesterday).ad_ids
    )
    target = ad["id"] if kind == "ad" else ad[f"{kind}_id"]
    history = spend(changed)
    changed.delete_object(target)
    deleted = changed.entities().by_id["ad"][ad["id"]]
    assert deleted["effective_status"] == deleted["status"] == "DELETED"
    assert deleted["updated_time"] == "2026-11-21T14:07:00+0100"
    found = changed.entities().find(target)
    assert found is not None
    assert found[1]["status"] == "DELETED"
    assert spend(changed) == history
    shown = {row["ad_id"] for row in rows(changed, "ad", hide_removed=True)}
    assert ad["id"] not in shown
    clock.instant += timedelta(days=3)
    assert ad["id"] not in changed.delivery(date(2026, 11, 23)).ad_ids
    today = changed.delivery(date(2026, 11, 21))
    assert not today.hours[today.ad_ids.index(ad["id"]), 15:].any()
    assert len(spends(changed, date(2026, 11, 21))) == 1


def test_what_is_under_a_paused_object_follows_it(changed: ChangeableAccount) -> None:
    ad = next(ad for ad in changed.objects("ad") if ad["effective_status"] == "ACTIVE")

    def status(kind: Kind, object_id: str) -> str:
        return str(changed.entities().by_id[kind][object_id]["effective_status"])

    changed.edit_object(ad["campaign_id"], {"status": "PAUSED"})
    assert status("campaign", ad["campaign_id"]) == "PAUSED"
    assert status("adset", ad["adset_id"]) == "CAMPAIGN_PAUSED"
    assert status("ad", ad["id"]) == "CAMPAIGN_PAUSED"
    changed.edit_object(ad["campaign_id"], {"status": "ACTIVE"})
    changed.edit_object(ad["adset_id"], {"status": "PAUSED"})
    assert status("ad", ad["id"]) == "ADSET_PAUSED"
    changed.edit_object(ad["adset_id"], {"status": "ACTIVE"})
    assert status("ad", ad["id"]) == "ACTIVE"


def test_a_new_ad_is_like_its_siblings(changed: ChangeableAccount) -> None:
    (adset, *_) = [ad["adset_id"] for ad in changed.objects("ad")]
    made = changed.add_ad(adset, "Autumn")
    shown = changed.entities().by_id["ad"][made["id"]]
    assert (shown["name"], shown["adset_id"], shown["status"]) == ("Autumn", adset, "ACTIVE")
    assert len({ad["id"] for ad in changed.objects("ad")}) == len(changed.objects("ad"))
    with pytest.raises(ValueError, match="no ad set with ads has the id 77"):
        changed.add_ad("77", "nowhere")


def test_deleting_the_unknown(changed: ChangeableAccount) -> None:
    with pytest.raises(KeyError, match="77"):
        changed.delete_object("77")


def test_one_level_drops_an_ad(changed: ChangeableAccount) -> None:
    ad = max(rows(changed, "ad"), key=lambda row: Decimal(row["spend"]))
    whole = spend(changed)
    changed.plant_level_fault(LevelFault("ad", "drop", ad["ad_id"], DAY))
    assert spend(changed, "ad") == whole - Decimal(ad["spend"])
    assert spend(changed, "campaign") == spend(changed) == whole
    assert ad["ad_id"] not in {row["ad_id"] for row in rows(changed, "ad")}
    assert spend(changed, "ad", DAY - timedelta(days=1)) == spend(
        changed, day=DAY - timedelta(days=1)
    )


def test_one_level_repeats_rows(changed: ChangeableAccount) -> None:
    single = len(rows(changed, "ad"))
    changed.plant_level_fault(LevelFault("ad", "repeat"))
    assert len(rows(changed, "ad")) == 2 * single
    assert spend(changed, "ad") == 2 * spend(changed)
    changed.clear()
    assert len(rows(changed, "ad")) == single


def test_the_whole_level_dropped(changed: ChangeableAccount) -> None:
    changed.plant_level_fault(LevelFault("account", "drop", day=DAY))
    assert not rows(changed)
    assert rows(changed, "ad")
