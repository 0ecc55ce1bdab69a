"""Unusual days: what is reported, in what words, and what is left out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from .warehouse import PULLED, AdDay, Warehouse

DAY = date(2026, 11, 19)
"""A Thursday, pulled when it was two days old."""
WEEK = timedelta(days=7)


def found(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    rows = warehouse.rows(
        "select level, external_entity_id, event_date, measure, kind, related_measures"
        " from marts.anomalies order by event_date, level, external_entity_id"
    )
    return [tuple(row.values()) for row in rows]


def spent(ad_id: str, spend: int) -> AdDay:
    """An ad's day with impressions and clicks in proportion."""
    return AdDay(ad_id, {9: (str(spend), spend * 50, spend)})


def test_what_is_far_from_the_same_weekday_is_told_once(warehouse: Warehouse) -> None:
    """A steady weekly rhythm is normal; a tripled day and a day without delivery are not."""
    warehouse.account()
    ripple = (0, 3, -2, 1, -3, 2, 0, 1)
    for weeks_ago in range(1, 8):
        for offset in range(-3, 1):
            day = DAY - weeks_ago * WEEK + timedelta(days=offset)
            # Wednesdays to Fridays are four times as large: against all days they would stand out.
            spend = (100 if day.weekday() < 3 else 400) + ripple[weeks_ago]
            warehouse.pull(day, spent("1", spend))
    normal, tripled, stopped = DAY - timedelta(days=2), DAY - timedelta(days=1), DAY
    warehouse.pull(DAY - timedelta(days=3), spent("1", 100))
    warehouse.pull(normal, spent("1", 103))
    warehouse.pull(tripled, AdDay("1", {9: ("300", 5000, 100)}))
    warehouse.pull(stopped)
    warehouse.build(DAY - timedelta(days=60), DAY)
    assert found(warehouse) == [
        ("account", "1", tripled, "spend", "spike", "cpm, cpc"),
        ("account", "1", stopped, "impressions", "stopped", "spend, clicks"),
    ]
    told = warehouse.rows("select anomaly_key, sentence from marts.anomalies order by event_date")
    assert told[0] == {
        "anomaly_key": "meta:account:1:2026-11-18",
        "sentence": "Account 1: spend was 300 on 2026-11-18, usually 101 on a Wednesday (+197 %),"
        " by the last 7 weeks; with it: CPM (+200 %), CPC (+200 %)",
    }
    assert told[1]["sentence"] == (
        "Account 1: delivery stopped: no impressions on 2026-11-19, usually 20050 on a Thursday,"
        " by the last 7 weeks; with it: spend (-100 %), clicks (-100 %)"
    )
    before = warehouse.contents("ctid, xmin::text")["anomalies"]
    warehouse.build(DAY - timedelta(days=1), DAY, tests=False)
    assert warehouse.contents("ctid, xmin::text")["anomalies"] == before


def test_a_campaign_is_named_when_it_does_more_than_its_account(warehouse: Warehouse) -> None:
    """And what goes on for two days is told on the first."""
    warehouse.account()
    warehouse.entity("campaigns", "22", "1", {"objective": "OUTCOME_SALES"})
    cause, first, second = (DAY - timedelta(days=back) for back in (4, 1, 0))
    for day in (cause, first, second):
        for weeks_ago in range(1, 6):
            warehouse.pull(day - weeks_ago * WEEK, spent("1", 100), spent("2", 100))
    warehouse.pull(cause, spent("1", 100), spent("2", 500))
    for day in (first, second):
        warehouse.pull(day, spent("1", 300), spent("2", 300))
    for table in ("insights_hourly", "insights_daily"):
        warehouse.execute(f"update raw.{table} set campaign_id = '22' where ad_id = '2'")
    warehouse.build(DAY - timedelta(days=45), DAY, tests=False)
    assert found(warehouse) == [
        ("account", "1", cause, "spend", "spike", "impressions, clicks"),
        ("campaign", "22", cause, "spend", "spike", "impressions, clicks"),
        ("account", "1", first, "spend", "spike", "impressions, clicks"),
    ]
    # The same when only the second day is built.
    warehouse.build(second, second, tests=False)
    assert [row[2] for row in found(warehouse)] == [cause, cause, first]


def test_spend_beyond_what_meta_may_spend_of_the_daily_budget(warehouse: Warehouse) -> None:
    """A budget of 100.00: 175.00 on one day is Meta's right, 175.01 is not."""
    warehouse.account()
    before = DAY - timedelta(days=1)
    warehouse.pull(before, AdDay("1", {9: ("175.00", 5000, 100)}))
    warehouse.pull(DAY, AdDay("1", {9: ("175.01", 5000, 100)}))
    warehouse.execute(
        "insert into raw.entity_versions (account_id, level, entity_id, valid_from, document,"
        " document_hash)"
        " values ('1', 'campaign', '21', '2026-11-01',"
        ' \'{"name": "A", "daily_budget": "10000"}\', \'h\')'
    )
    warehouse.build(before, DAY, tests=False)
    assert found(warehouse) == [("campaign", "21", DAY, "spend", "over_budget", None)]
    assert warehouse.value("select sentence from marts.anomalies") == (
        "Campaign 21: spent 175.01 on 2026-11-19, more than 75 % over its daily budget of 100"
    )


def test_a_running_day_is_no_anomaly(warehouse: Warehouse) -> None:
    warehouse.account()
    for weeks_ago in range(1, 8):
        warehouse.pull(DAY - weeks_ago * WEEK, spent("1", 100))
    noon = datetime(2026, 11, 19, 11, tzinfo=UTC)
    warehouse.pull(DAY, spent("1", 20), pulled_at=noon)
    warehouse.build(tests=False)
    assert found(warehouse) == []
    warehouse.pull(DAY, spent("1", 20), pulled_at=PULLED)
    warehouse.build(DAY, tests=False)
    assert found(warehouse) == [("account", "1", DAY, "spend", "drop", "impressions, clicks")]
