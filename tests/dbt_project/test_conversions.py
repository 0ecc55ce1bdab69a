"""Conversions in long form, spread over hours, in another currency, and beside names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from .test_dimensions import land_version
from .warehouse import PULLED, AdDay, Warehouse, failures, tables_behind

DAY = date(2026, 11, 19)
AD_DAYS = tables_behind("conversions_daily", "ad_daily_named", "ad_daily_reporting")


def test_overlapping_types_are_chosen_from_and_their_disagreement_is_measured(
    warehouse: Warehouse,
) -> None:
    warehouse.account()
    hours = {9: ("2.50", 10, 1)}
    custom = "offsite_conversion.custom.77"
    warehouse.pull(
        DAY,
        AdDay("1", hours, {"purchase": "4", "omni_purchase": "5"}, {"omni_purchase": "59.90"}),
        AdDay("2", hours, {"lead": "6", "onsite_conversion.lead_grouped": "6"}),
        AdDay("3", hours, {"omni_purchase": "2", "offsite_conversion.fb_pixel_purchase": "3"}),
        AdDay("4", hours, {custom: "3"}, {custom: "8.50"}),
    )
    warehouse.execute("update raw.insights_daily set attribution_setting = '7d_click'")
    warehouse.build(tests=False, models=AD_DAYS)
    found = warehouse.rows(
        "select ad_id, conversion, unit, action_type, value, types_present, disagreement, overlap"
        " from marts.conversions_daily order by ad_id, conversion"
    )
    assert [tuple(row.values()) for row in found] == [
        ("1", "purchases", "count", "omni_purchase", 5, 2, 1, "smaller_elsewhere"),
        ("1", "revenue", "amount", "omni_purchase", Decimal("59.90"), 1, 0, "single"),
        ("2", "leads", "count", "lead", 6, 2, 0, "equal"),
        ("3", "purchases", "count", "omni_purchase", 2, 2, 1, "larger_elsewhere"),
        ("4", "custom:77", "count", custom, 3, 1, 0, "single"),
        ("4", "custom_value:77", "amount", custom, Decimal("8.50"), 1, 0, "single"),
    ]
    assert warehouse.rows(
        "select distinct custom_conversion_id, attribution_setting, api_version, pulled_at,"
        " campaign_id from marts.conversions_daily where ad_id = '4'"
    ) == [
        {
            "custom_conversion_id": "77",
            "attribution_setting": "7d_click",
            "api_version": "v26.0",
            "pulled_at": PULLED,
            "campaign_id": "21",
        }
    ]


def test_conversions_that_disagree_keep_their_last_good_values(warehouse: Warehouse) -> None:
    """Each by itself: spend that disagrees keeps no conversions back, leads no purchases."""
    warehouse.account()
    hours = {9: ("2.50", 10, 1)}
    warehouse.pull(DAY, AdDay("1", hours, {"lead": "6", "omni_purchase": "1"}))
    warehouse.build(tests=False, models=AD_DAYS)
    later = AdDay("1", hours, {"lead": "9", "omni_purchase": "2"})
    warehouse.pull(DAY, later, account_spend="900")
    warehouse.execute(
        "update raw.account_totals set actions = actions"
        """ || '[{"action_type": "lead", "value": "-4"}]'"""
    )
    warehouse.build(tests=False, models=AD_DAYS)
    found = warehouse.rows("select conversion, value from marts.conversions_daily order by 1")
    assert [tuple(row.values()) for row in found] == [("leads", 6), ("purchases", 2)]
    facts = warehouse.rows(
        "select sum(spend) as spend, sum(leads) as leads, sum(purchases) as purchases"
        " from marts.metric_facts"
    )
    assert facts == [{"spend": Decimal("2.50"), "leads": 6, "purchases": 2}]
    warehouse.pull(DAY, later)
    warehouse.build(tests=False, models=AD_DAYS)
    assert (
        warehouse.value("select value from marts.conversions_daily where conversion = 'leads'") == 9
    )


def _link_clicks(warehouse: Warehouse, ad_id: str, by_hour: dict[int, int]) -> None:
    for hour, clicks in by_hour.items():
        warehouse.execute(
            f"update raw.insights_hourly set link_clicks = {clicks}"
            f" where ad_id = '{ad_id}' and event_hour = {hour}"
        )
    total = sum(by_hour.values())
    warehouse.execute(
        f"update raw.insights_daily set link_clicks = {total} where ad_id = '{ad_id}'",
        "update raw.account_totals set link_clicks ="
        " (select sum(link_clicks) from raw.insights_daily)",
    )


def test_a_day_is_spread_over_its_hours_and_sums_back_exactly(warehouse: Warehouse) -> None:
    warehouse.account()
    purchase, value = {"omni_purchase": "2"}, {"omni_purchase": "100.01"}
    warehouse.pull(
        DAY,
        AdDay("1", dict.fromkeys((8, 9, 10, 11), ("1", 10, 5)), purchase, value),
        AdDay("2", {8: ("1", 10, 3), 9: ("1", 30, 0)}, purchase, value),
        AdDay("3", {8: ("1", 10, 0), 9: ("1", 20, 0)}, purchase, value),
        AdDay("4", {8: ("1", 0, 0), 9: ("1", 0, 0)}, purchase, value),
        AdDay("5", {}, purchase, value),
    )
    _link_clicks(warehouse, "1", {8: 1, 9: 1, 10: 1, 11: 0})
    warehouse.build(tests=False, models=AD_DAYS)
    rows = warehouse.rows(
        "select ad_id, event_hour, allocation_basis, purchases_allocated as purchases,"
        " revenue_allocated as revenue, unallocated_reason, hourly_null_reason, leads_allocated"
        " from marts.metric_facts_allocated order by ad_id, event_hour"
    )
    spread = {
        ad_id: [(row["event_hour"], str(row["purchases"])) for row in rows if row["ad_id"] == ad_id]
        for ad_id in "12345"
    }
    assert spread == {
        "1": [(8, "0.666667"), (9, "0.666666"), (10, "0.666667"), (11, "0.000000")],
        "2": [(8, "2.000000"), (9, "0.000000")],
        "3": [(8, "0.666667"), (9, "1.333333")],
        "4": [(8, "1.000000"), (9, "1.000000")],
        "5": [(None, "2")],
    }
    assert {(row["ad_id"], row["allocation_basis"]) for row in rows} == {
        ("1", "link_clicks"),
        ("2", "clicks"),
        ("3", "impressions"),
        ("4", "hours"),
        ("5", "none"),
    }
    assert {row["ad_id"] for row in rows if row["unallocated_reason"]} == {"5"}
    assert {row["hourly_null_reason"] for row in rows} == {"known_by_day_only"}
    assert {row["leads_allocated"] for row in rows} == {None}
    for ad_id in "12345":
        mine = [row for row in rows if row["ad_id"] == ad_id]
        assert sum(row["purchases"] for row in mine) == 2
        assert sum(row["revenue"] for row in mine) == Decimal("100.01")


def test_data_test_finds_conversions_that_do_not_sum(warehouse: Warehouse) -> None:
    warehouse.account()
    warehouse.pull(DAY, AdDay("1", {9: ("2.50", 10, 1)}, {"omni_purchase": "2"}))
    warehouse.build(tests=False, models=AD_DAYS)
    warehouse.execute("update marts.conversions_daily set value = value + 1")
    found = warehouse.dbt("test", "--select", "conversions_sum_to_the_day")
    assert not found.success
    assert "conversions_sum_to_the_day" in failures(found)


def test_names_as_they_are_and_as_they_were(warehouse: Warehouse) -> None:
    """Berlin's 19 November ends at 23:00 UTC."""
    warehouse.account()
    end = datetime(2026, 11, 19, 23, tzinfo=UTC)
    hour = timedelta(hours=1)
    for level, entity in (("adset", "31"), ("ad", "1"), ("ad", "2")):
        land_version(warehouse, level, entity, end - 9 * hour, {"name": f"{level} then"})
    land_version(warehouse, "campaign", "21", end - 9 * hour, {"name": "Old"})
    land_version(warehouse, "campaign", "21", end - hour, {"name": "Evening"})
    land_version(warehouse, "campaign", "21", end, {"name": "Next day"})
    for day in (DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)):
        warehouse.pull(day, AdDay("1", {9: ("2.50", 10, 1)}))
    warehouse.build(tests=False, models=AD_DAYS)
    named = warehouse.rows(
        "select event_date, campaign_name, campaign_name_then, ad_name, ad_name_then,"
        " is_name_then_known, spend from marts.ad_daily_named order by event_date"
    )
    assert [(row["campaign_name_then"], row["is_name_then_known"]) for row in named] == [
        ("Old", False),
        ("Evening", True),
        ("Next day", True),
    ]
    assert {row["campaign_name"] for row in named} == {"campaigns 21"}
    assert {(row["ad_name"], row["ad_name_then"]) for row in named} == {("ads 1", "ad then")}
    assert sum(row["spend"] for row in named) == Decimal("7.50")


@pytest.fixture
def rates(warehouse: Warehouse) -> Iterator[Warehouse]:
    """The seed as an analyst fills it; empty again afterwards."""
    yield warehouse
    warehouse.execute("truncate seeds.exchange_rates")


def test_reporting_currency_shows_its_rate_or_why_not(rates: Warehouse) -> None:
    for account_id, currency in enumerate(("EUR", "USD", "JPY"), start=1):
        rates.account(str(account_id), currency=currency)
        rates.pull(
            DAY,
            AdDay("1", {9: ("2.50", 10, 1)}, {}, {"omni_purchase": "10"}),
            account_id=str(account_id),
        )
    rates.build(tests=False, models=AD_DAYS)
    columns = (
        "select currency, reporting_currency, exchange_rate, exchange_rate_date,"
        " spend_reporting, revenue_reporting, unconverted_reason"
        " from marts.ad_daily_reporting order by account_id"
    )
    assert {row["unconverted_reason"] for row in rates.rows(columns)} == {"no_reporting_currency"}
    rates.execute(
        "insert into seeds.exchange_rates values ('2026-11-17', 'EUR', 'USD', 1.08),"
        " ('2026-11-18', 'EUR', 'USD', 1.0842), ('2026-11-20', 'EUR', 'USD', 9),"
        " ('2026-11-11', 'JPY', 'USD', 0.0065)"
    )
    day_before = DAY - timedelta(days=1)
    assert [tuple(row.values()) for row in rates.rows(columns)] == [
        ("EUR", "USD", Decimal("1.0842"), day_before, Decimal("2.710500"), Decimal("10.842"), None),
        ("USD", "USD", 1, DAY, Decimal("2.50"), 10, None),
        ("JPY", "USD", None, None, None, None, "no_rate"),
    ]


def test_goals_follow_what_the_ad_set_promotes(warehouse: Warehouse) -> None:
    """A custom conversion, a custom event, a standard event that only ``conversions`` name."""
    warehouse.account()
    promoted = {
        "31": {"custom_event_type": "OTHER", "custom_conversion_id": "77"},
        "32": {"custom_event_type": "OTHER", "custom_event_str": "demo_booked"},
        "33": {"custom_event_type": "CONTACT", "pixel_id": "5"},
        "34": {"custom_event_type": "PURCHASE", "pixel_id": "5"},
    }
    for number, (adset, document) in enumerate(promoted.items(), 1):
        warehouse.entity("adsets", adset, "1", {"promoted_object": document}, campaign_id="21")
        warehouse.entity("ads", str(number), "1", {}, campaign_id="21", adset_id=adset)
    warehouse.execute(
        "insert into raw.custom_conversions (id, account_id, name, document, document_hash,"
        " first_seen_at, changed_at, pulled_at)"
        " values ('77', '1', 'Webinar', '{}', '', now(), now(), now())"
    )
    hours, pixel = {9: ("2.50", 10, 1)}, "offsite_conversion.fb_pixel_custom"
    custom = "offsite_conversion.custom.77"
    warehouse.pull(
        DAY,
        AdDay("1", hours, {custom: "3", pixel: "3"}),
        AdDay("2", hours, {pixel: "4"}),
        AdDay("3", hours, {pixel: "6"}),
        AdDay("4", hours, {"omni_purchase": "2"}),
    )
    lists = {
        "2": [(f"{pixel}.demo_booked", 4)],
        "3": [("contact_total", 5), ("contact_website", 5), ("subscribe_total", 1)],
    }
    for table, key in (("insights_daily", "ad_id"), ("account_totals", "account_id")):
        for ad, items in lists.items():
            document = json.dumps([{"action_type": name, "value": str(n)} for name, n in items])
            entity = ad if table == "insights_daily" else "1"
            warehouse.execute(
                f"update raw.{table} set conversions = coalesce(conversions, '[]')"
                f" || '{document}' where {key} = '{entity}'"
            )
        warehouse.execute(
            f"update raw.{table} set adset_id = 30 + ad_id::int" if key == "ad_id" else "select 1"
        )
    warehouse.execute("update raw.insights_hourly set adset_id = 30 + ad_id::int")
    warehouse.build(tests=False, models=AD_DAYS)
    facts = warehouse.rows(
        "select ad_id, goal, conversions from marts.ad_daily where event_date = %s order by 1", DAY
    )
    assert [tuple(row.values()) for row in facts] == [
        ("1", "sales", 3),
        ("2", "sales", 4),
        ("3", "sales", 5),
        ("4", "sales", 2),
    ]
    named = warehouse.rows(
        "select ad_id, conversion, conversion_name, unit, value from marts.conversions_daily"
        " where conversion <> 'purchases' order by ad_id, conversion"
    )
    assert [tuple(row.values()) for row in named] == [
        ("1", "custom:77", "Webinar", "count", 3),
        ("2", "custom_event:demo_booked", "demo_booked", "count", 4),
        ("3", "contacts", None, "count", 5),
        ("3", "subscriptions", None, "count", 1),
    ]


def test_conversions_of_a_goal_add_up_unless_they_overlap(warehouse: Warehouse) -> None:
    warehouse.account()
    warehouse.pull(
        DAY, AdDay("1", {9: ("2.50", 10, 1)}, {"omni_purchase": "2", "omni_add_to_cart": "5"})
    )
    before = warehouse.rows("select * from seeds.goal_conversions")
    try:
        warehouse.execute("insert into seeds.goal_conversions values ('sales', 'add_to_cart')")
        warehouse.build(DAY, models=tables_behind("account_daily", "conversions_daily"))
        assert warehouse.value("select conversions from marts.account_daily") == 7
        for overlapping in ("revenue", "no_such_conversion"):
            warehouse.execute(
                "delete from seeds.goal_conversions where conversion not in ('purchases', 'leads')",
                f"insert into seeds.goal_conversions values ('sales', '{overlapping}')",
            )
            found = warehouse.dbt("test", "--select", "goal_conversions_do_not_overlap")
            assert not found.success, overlapping
            assert "goal_conversions_do_not_overlap" in failures(found)
        warehouse.execute(
            "delete from seeds.goal_conversions where conversion = 'no_such_conversion'",
            "insert into seeds.goal_conversions values ('leads', 'registrations')",
        )
        assert not warehouse.dbt("test", "--select", "goal_conversions_do_not_overlap").success
    finally:
        with warehouse.database.connect() as connection:
            connection.execute("delete from seeds.goal_conversions")
            for row in before:
                connection.execute(
                    "insert into seeds.goal_conversions values (%(goal)s, %(conversion)s)", row
                )
