"""What becomes a fact: keys, grains, conversions, hours of days that are not 24 hours long."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from .warehouse import AdDay, Warehouse, tables_behind

DAY = date(2026, 11, 19)
FACTS = tables_behind(
    *("ad_daily", "campaign_daily", "account_daily", "account_hourly", "conversions_daily")
)


def test_one_ad_day_in_full(warehouse: Warehouse) -> None:
    warehouse.account(timezone="America/New_York", currency="USD")
    warehouse.entity("campaigns", "21", "1", {"objective": "OUTCOME_LEADS"})
    warehouse.pull(
        DAY,
        AdDay(
            "1",
            {9: ("12.34", 361, 12), 10: ("0", 4, 0)},
            # One lead reported under three names, as accounts with a pixel have it.
            {"lead": "6", "onsite_web_lead": "6", "offsite_conversion.fb_pixel_lead": "6"},
        ),
    )
    warehouse.build(DAY, models=FACTS)
    nine, ten, day = warehouse.rows(
        "select * from marts.metric_facts order by grain desc, event_at"
    )
    assert nine["natural_key"] == "1-2026-11-19T14:00:00Z"
    assert nine["event_at"] == datetime(2026, 11, 19, 14, tzinfo=UTC)
    assert (nine["event_hour"], nine["spend"], nine["clicks"]) == (9, Decimal("12.34"), 12)
    assert (ten["spend"], ten["clicks"]) == (Decimal(0), 0), "zero is zero"
    assert nine["link_clicks"] is None, "missing is null"
    assert {row["leads"] for row in (nine, ten)} == {None}
    assert day["natural_key"] == "1-2026-11-19"
    assert day["event_at"] == datetime(2026, 11, 19, 5, tzinfo=UTC), "the local midnight"
    assert (day["event_hour"], day["spend"], day["impressions"]) == (None, None, None)
    assert (day["leads"], day["conversions"], day["goal"]) == (6, 6, "leads")
    assert day["purchases"] is None
    assert {row["entity_id"] for row in (nine, ten, day)} == {
        uuid.UUID(hashlib.md5(b"meta:ad:1").hexdigest())
    }
    (total,) = warehouse.rows("select * from marts.account_daily")
    assert (total["spend"], total["leads"]) == (Decimal("12.34"), 6)
    assert total["ctr"] == Decimal("3.287671"), "percent"
    assert total["cpa"] == Decimal("2.056667")
    assert total["roas"] is None


def test_conversions_of_every_kind(warehouse: Warehouse) -> None:
    """First present type, values without counts, yen without minor units, days without any."""
    warehouse.account()
    warehouse.account("8", timezone="Asia/Tokyo", currency="JPY")
    warehouse.pull(
        DAY,
        AdDay("1", {9: ("5.00", 10, 1)}, {"purchase": "3", "omni_purchase": "4"}),
        AdDay("2", {}, {}, {"omni_purchase": "59.90", "purchase": "10"}),
        AdDay("3", {9: ("1.00", 10, 1)}, {"link_click": "7", "post_engagement": "9"}),
    )
    warehouse.pull(
        DAY,
        AdDay("4", {9: ("1200", 10, 1)}, {"omni_purchase": "1"}, {"omni_purchase": "98765"}),
        account_id="8",
    )
    warehouse.build(DAY, models=FACTS)
    days = {
        row["ad_id"]: (row["purchases"], row["revenue"])
        for row in warehouse.rows("select * from marts.metric_facts where grain = 'day'")
    }
    assert days == {"1": (4, None), "2": (None, Decimal("59.90")), "804": (1, Decimal(98765))}
    (yen,) = warehouse.rows("select * from marts.account_daily where account_id = '8'")
    assert (yen["spend"], yen["revenue"], yen["currency"]) == (Decimal(1200), Decimal(98765), "JPY")
    assert yen["roas"] == Decimal("82.304167")
    assert (
        warehouse.rows("select * from marts.ad_daily where ad_id = '3' and conversions = 0") == []
    )


def test_a_day_of_conversions_without_delivery(warehouse: Warehouse) -> None:
    """People buy the day after the campaign ended: revenue without an hour to put it on."""
    warehouse.account()
    warehouse.pull(DAY, AdDay("1", {}, {"omni_purchase": "2"}, {"omni_purchase": "80"}))
    warehouse.build(DAY, models=FACTS)
    (row,) = warehouse.rows("select * from marts.campaign_daily")
    assert (row["spend"], row["purchases"], row["roas"], row["cpa"]) == (None, 2, None, None)
    assert warehouse.rows("select * from marts.account_hourly") == []


def test_spring_day_has_23_hours(warehouse: Warehouse) -> None:
    """A row of the hour that does not exist joins the hour of its instant, which is not flagged."""
    warehouse.account()
    day = date(2026, 3, 29)
    warehouse.pull(day, AdDay("1", dict.fromkeys(range(24), ("1.10", 10, 1))))
    # As the loader lands it: 02:00 did not happen, its instant is that of 03:00.
    warehouse.execute(
        "update raw.insights_hourly set hour_flag = 'skipped', event_at = '2026-03-29T01:00Z'"
        " where event_hour = 2"
    )
    warehouse.build(day, models=FACTS)
    hours = {
        row["event_hour"]: row["spend"]
        for row in warehouse.rows("select * from marts.metric_facts where grain = 'hour'")
    }
    assert len(hours) == 23
    assert 2 not in hours
    assert hours[3] == Decimal("2.20")
    assert warehouse.value("select spend from marts.account_daily") == Decimal("26.40")
    instants = warehouse.rows("select event_at from marts.account_hourly order by 1")
    steps = {b["event_at"] - a["event_at"] for a, b in itertools.pairwise(instants)}
    assert len(steps) == 1, "23 hours without a hole"


def test_autumn_day_has_one_long_hour(warehouse: Warehouse) -> None:
    warehouse.account(timezone="America/New_York", currency="USD")
    day = date(2026, 11, 1)
    warehouse.pull(day, AdDay("1", dict.fromkeys(range(24), ("1.10", 10, 1))))
    warehouse.execute("update raw.insights_hourly set hour_flag = 'repeated' where event_hour = 1")
    warehouse.build(day, models=FACTS)
    rows = warehouse.rows("select * from marts.account_hourly order by event_at")
    assert [row["event_hour"] for row in rows] == list(range(24))
    assert rows[1]["event_at"] == datetime(2026, 11, 1, 5, tzinfo=UTC), "the first 01:00"
    assert rows[2]["event_at"] == datetime(2026, 11, 1, 7, tzinfo=UTC)


def test_settled_is_by_the_accounts_calendar(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pulled more than 28 days after the day, where the account is."""
    warehouse.account("1", timezone="America/New_York")
    warehouse.account("2", timezone="Asia/Tokyo")
    tables = ("metric_facts", "account_hourly", "account_daily", "ad_daily")
    settled = " union all ".join(
        f"select account_id, is_settled from marts.{table}" for table in tables
    )
    passing = (
        ("2026-12-17T16:00Z", DAY, {"1": False, "2": True}),
        ("2026-12-18T04:59Z", DAY, {"1": False, "2": True}),
        ("2026-12-18T05:01Z", DAY, {"1": True, "2": True}),
    )
    for now, built, expected in passing:
        for account_id in ("1", "2"):
            warehouse.pull(
                DAY,
                AdDay("1", {9: ("1.00", 1, 1)}),
                account_id=account_id,
                pulled_at=datetime.fromisoformat(now),
            )
        monkeypatch.setenv("PGOPTIONS", f"-c meta_ads.now={now}")
        warehouse.build(built, tests=False, models=FACTS)
        found = warehouse.rows(settled)
        assert len(found) == 2 * len(tables)
        assert {row["account_id"]: row["is_settled"] for row in found} == expected
        assert all(row["is_settled"] is expected[row["account_id"]] for row in found)
