"""Unusual days and hours: what is reported, in what words, and what is left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from .warehouse import ANOMALIES, PULLED, TABLES_AND_VIEWS, AdDay, Hour, Warehouse

DAY = date(2026, 11, 19)
"""A Thursday, pulled when it was two days old."""
WEEK = timedelta(days=7)
RIPPLE = (0, 3, -2, 1, -3, 2, 0, 1, -1)


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
    for weeks_ago in range(1, 8):
        for offset in range(-3, 1):
            day = DAY - weeks_ago * WEEK + timedelta(days=offset)
            # Wednesdays to Fridays are four times as large: against all days they would stand out.
            spend = (100 if day.weekday() < 3 else 400) + RIPPLE[weeks_ago]
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
    told = warehouse.rows(
        "select anomaly_key, direction, severity, unit, status, expected_low, expected_high,"
        " sentence from marts.anomalies order by event_date"
    )
    low, high = told[0].pop("expected_low"), told[0].pop("expected_high")
    assert 45 < low < 51  # four times the least spread: a factor of 2.2
    assert 200 < high < 230
    assert told[0] == {
        "anomaly_key": "meta:account:1:2026-11-18",
        "direction": "up",
        "severity": "warn",
        "unit": "EUR",
        "status": "open",
        "sentence": 'Account "Test" (1): spend was 300.00 EUR on Wednesday 2026-11-18, usually'
        " 101.00 EUR (+197 %), by the same weekday in 7 earlier weeks; with it: CPM (+200 %), CPC"
        " (+200 %)",
    }
    assert told[1]["sentence"] == (
        'Account "Test" (1): delivery stopped: no impressions on Thursday 2026-11-19, usually'
        " 20,050, by the same weekday in 7 earlier weeks; with it: spend (-100 %), clicks (-100 %);"
        " no pause, end date or spent budget of its ads explains it"
    )
    before = warehouse.contents("ctid, xmin::text")["anomalies"]
    warehouse.build(DAY - timedelta(days=1), DAY, tests=False, models=ANOMALIES)
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
    warehouse.build(DAY - timedelta(days=45), DAY, tests=False, models=ANOMALIES)
    assert found(warehouse) == [
        ("account", "1", cause, "spend", "spike", "impressions, clicks"),
        ("campaign", "22", cause, "spend", "spike", "impressions, clicks"),
        ("account", "1", first, "spend", "spike", "impressions, clicks"),
    ]
    # The same when only the second day is built.
    warehouse.build(second, second, tests=False, models=ANOMALIES)
    assert [row[2] for row in found(warehouse)] == [cause, cause, first]


def version(warehouse: Warehouse, level: str, entity_id: str, at: str, **document: str) -> None:
    """An entity's document as a pull first saw it; its account is the one of the id."""
    account_id = entity_id.split("0", maxsplit=1)[0] if "0" in entity_id else "1"
    warehouse.execute(
        "insert into raw.entity_versions (account_id, level, entity_id, valid_from, document,"
        f" document_hash) values ('{account_id}', '{level}', '{entity_id}', '{at}',"
        f" '{json.dumps(document)}', '{at}')"
    )


def test_spend_beyond_what_meta_may_spend_of_the_budget(warehouse: Warehouse) -> None:
    """175 % on a day and seven days' worth in a week are Meta's right, what is above is not."""
    for account_id, currency in (("1", "EUR"), ("2", "EUR"), ("3", "JPY"), ("4", "EUR")):
        warehouse.account(account_id, currency=currency)
    before, saturday = DAY - timedelta(days=1), DAY - timedelta(days=5)
    warehouse.pull(before, AdDay("1", {9: ("175.00", 5000, 100)}))
    warehouse.pull(DAY, AdDay("1", {9: ("175.01", 5000, 100)}))
    version(warehouse, "campaign", "21", "2026-11-01", name="A", daily_budget="10000")
    # The budget of account 2 is on the ad set: 7 x 100.00 a week, which the Saturday exceeds.
    for back in range(7):
        spend = "160.00" if back == 0 else "95.00"
        day = saturday - timedelta(days=back)
        warehouse.pull(day, AdDay("1", {9: (spend, 5000, 100)}), account_id="2")
    version(warehouse, "adset", "2031", "2026-11-01", name="B", daily_budget="10000")
    # Yen have no minor units, though Meta's documents count as if.
    warehouse.pull(before, AdDay("1", {9: ("17500", 5000, 100)}), account_id="3")
    warehouse.pull(DAY, AdDay("1", {9: ("17501", 5000, 100)}), account_id="3")
    version(warehouse, "campaign", "3021", "2026-11-01", name="C", daily_budget="10000")
    # A lifetime budget is exceeded once. It was raised on the day before: 250, no longer 100.
    for back, spend in ((3, "120.00"), (2, "120.00"), (1, "20.00"), (0, "20.00")):
        day = DAY - timedelta(days=back)
        warehouse.pull(day, AdDay("1", {9: (spend, 5000, 100)}), account_id="4")
    version(warehouse, "campaign", "4021", "2026-11-01", name="D", lifetime_budget="10000")
    raised = f"{DAY - timedelta(days=3)} 12:00+00"
    version(warehouse, "campaign", "4021", raised, name="D", lifetime_budget="25000")
    warehouse.build(saturday - WEEK, DAY, tests=False, models=ANOMALIES)
    rows = warehouse.rows(
        "select level, external_entity_id, event_date, kind, budget_period, sentence"
        " from marts.anomalies order by external_entity_id"
    )
    sentences = [row.pop("sentence") for row in rows]
    assert [tuple(row.values()) for row in rows] == [
        ("adset", "2031", saturday, "over_budget", "week"),
        ("campaign", "21", DAY, "over_budget", "day"),
        ("campaign", "3021", DAY, "over_budget", "day"),
        ("campaign", "4021", before, "over_budget", "lifetime"),
    ]
    assert sentences == [
        'Ad Set "adsets 2031" (2031): spent 730.00 EUR in the week to Saturday 2026-11-14, more'
        " than 7 times its daily budget of 100.00 EUR",
        'Campaign "campaigns 21" (21): spent 175.01 EUR on Thursday 2026-11-19, more than 1.75'
        " times its daily budget of 100.00 EUR",
        'Campaign "campaigns 3021" (3021): spent 17,501 JPY on Thursday 2026-11-19, more than 1.75'
        " times its daily budget of 10,000 JPY",
        'Campaign "campaigns 4021" (4021): had spent 260.00 EUR by Wednesday 2026-11-18, more than'
        " its lifetime budget of 250.00 EUR",
    ]


def test_a_running_day_is_no_anomaly(warehouse: Warehouse) -> None:
    warehouse.account()
    for weeks_ago in range(1, 8):
        warehouse.pull(DAY - weeks_ago * WEEK, spent("1", 100))
    noon = datetime(2026, 11, 19, 11, tzinfo=UTC)
    warehouse.pull(DAY, spent("1", 20), pulled_at=noon)
    warehouse.build(tests=False, models=ANOMALIES)
    assert found(warehouse) == []
    warehouse.pull(DAY, spent("1", 20), pulled_at=PULLED)
    warehouse.build(DAY, tests=False, models=ANOMALIES)
    assert found(warehouse) == [("account", "1", DAY, "spend", "drop", "impressions, clicks")]


def usual_hours(weeks_ago: int, **labels: int) -> dict[int, Hour]:
    """A day of 24 alike hours, but for a ripple; ``h9=3``: hour 9 is three times as much."""
    times = {int(name[1:]): factor for name, factor in labels.items()}
    hours = {}
    for label in range(24):
        impressions = (1000 + 5 * RIPPLE[weeks_ago]) * times.get(label, 1)
        if impressions:
            hours[label] = (str(impressions // 100), impressions, impressions // 20)
    return hours


def eight_weeks(warehouse: Warehouse, account_id: str, last: date = DAY) -> None:
    """The same weekday before ``last``."""
    for weeks_ago in range(1, 9):
        usual = AdDay("1", usual_hours(weeks_ago))
        warehouse.pull(last - weeks_ago * WEEK, usual, account_id=account_id)


def hourly(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    rows = warehouse.rows(
        "select account_id, level, event_date, event_hour, last_hour, measure, kind, severity"
        " from marts.anomalies where grain = 'hour' and status = 'open'"
        " order by account_id, starts_at"
    )
    return [tuple(row.values()) for row in rows]


TWO_FAULTS: Mapping[str, int] = {"h9": 3, "h10": 3, **{f"h{hour}": 0 for hour in range(14, 19)}}


def test_hours_that_are_far_from_the_same_hours(warehouse: Warehouse) -> None:
    """Two hours of a spike and five without delivery: an episode each, with its reason if known."""
    for account_id in ("1", "2", "3"):
        warehouse.account(account_id)
        eight_weeks(warehouse, account_id)
    warehouse.pull(DAY, AdDay("1", usual_hours(0, **TWO_FAULTS)))
    # The same, but the ad was paused, which the next pull of ads saw.
    warehouse.pull(DAY, AdDay("1", usual_hours(0, **TWO_FAULTS)), account_id="2")
    version(warehouse, "ad", "201", "2026-11-01", effective_status="ACTIVE")
    version(warehouse, "ad", "201", f"{DAY} 14:30+00", effective_status="PAUSED")
    version(warehouse, "ad", "201", f"{DAY} 17:45+00", effective_status="ACTIVE")
    # A day that is still running: pulled at 15:10, what ended by 13:10 is judged.
    morning = {label: hour for label, hour in usual_hours(0).items() if label < 9}
    noon = datetime(2026, 11, 19, 14, 10, tzinfo=UTC)
    warehouse.pull(DAY, AdDay("1", morning), account_id="3", pulled_at=noon)
    # Clocks: autumn's repeated hour holds twice as much, spring's missing one nothing.
    autumn, spring = date(2026, 11, 1), date(2026, 3, 8)
    for account_id, day, label, factor in (("4", autumn, "h1", 2), ("5", spring, "h2", 0)):
        warehouse.account(account_id, timezone="America/New_York")
        eight_weeks(warehouse, account_id, day)
        changed = AdDay("1", usual_hours(0, **{label: factor}))
        warehouse.pull(day, changed, account_id=account_id)
    warehouse.build(spring - 9 * WEEK, DAY)
    spike, stop = ("spend", "spike"), ("impressions", "stopped")
    assert hourly(warehouse) == [
        ("1", "account", DAY, 9, 10, *spike, "warn"),
        ("1", "account", DAY, 14, 18, *stop, "warn"),
        ("2", "account", DAY, 9, 10, *spike, "warn"),
        ("2", "account", DAY, 14, 18, *stop, "inform"),
        ("3", "account", DAY, 9, 12, *stop, "warn"),
    ]
    assert warehouse.value("select count(*) from marts.anomalies where grain = 'day'") == 0
    told = warehouse.rows(
        "select anomaly_key, value, expected, sentence from marts.anomalies"
        " where account_id = '2' order by starts_at"
    )
    assert told[0]["anomaly_key"] == "meta:account:2:2026-11-19T09"
    assert told[0]["value"] == 60
    assert told[0]["sentence"] == (
        'Account "Test" (2): spend was 60.00 EUR on Thursday 2026-11-19 from 09:00 to 11:00,'
        " usually 20.00 EUR (+200 %), by the same hours of the weekday in 8 earlier weeks; with it:"
        " impressions (+199 %), clicks (+200 %)"
    )
    assert told[1]["sentence"] == (
        'Account "Test" (2): delivery stopped: no impressions on Thursday 2026-11-19 from 14:00 to'
        " 19:00, usually 5,013, by the same hours of the weekday in 8 earlier weeks; the ads that"
        " had delivered were paused or removed"
    )

    # Another pull: account 1's stop was Meta's delay, account 3's whole day is short.
    later = PULLED + timedelta(hours=1)
    warehouse.pull(DAY, AdDay("1", usual_hours(0, h9=3, h10=3)), pulled_at=later)
    warehouse.pull(DAY, AdDay("1", morning), account_id="3", pulled_at=later)
    warehouse.build(DAY, DAY, tests=False, models=ANOMALIES)
    states = warehouse.rows(
        "select anomaly_key, status, resolution, first_seen_at, resolved_at from marts.anomalies"
        " where account_id in ('1', '3') order by anomaly_key"
    )
    assert [tuple(row.values()) for row in states] == [
        ("meta:account:1:2026-11-19T09", "open", None, PULLED, None),
        ("meta:account:1:2026-11-19T14", "resolved", "restated", PULLED, later),
        ("meta:account:3:2026-11-19", "open", None, noon, None),
        ("meta:account:3:2026-11-19T09", "resolved", "merged", noon, later),
    ]
    before = warehouse.contents("ctid, xmin::text")["anomalies"]
    warehouse.build(DAY, DAY, tests=False, models=ANOMALIES)
    assert warehouse.contents("ctid, xmin::text")["anomalies"] == before


def test_a_day_that_is_held_in_part_is_not_judged(warehouse: Warehouse) -> None:
    """Its new hours have no impressions yet, which is no stop; what was told before stays."""
    warehouse.account()
    eight_weeks(warehouse, "1")
    usual = usual_hours(0, h3=3, h4=3)
    morning = AdDay("1", {label: hour for label, hour in usual.items() if label < 9})
    warehouse.pull(DAY, morning, pulled_at=datetime(2026, 11, 19, 9, 10, tzinfo=UTC))
    warehouse.build(DAY - 9 * WEEK, DAY, tests=False, models=ANOMALIES)
    told = [("1", "account", DAY, 3, 4, "spend", "spike", "warn")]
    assert hourly(warehouse) == told
    warehouse.pull(DAY, AdDay("1", usual))
    warehouse.execute(
        "update raw.account_totals set impressions = 2 * impressions"
        f" where event_date = '{DAY}' and account_id = '1'"
    )
    warehouse.build(DAY, DAY, tests=False, models=ANOMALIES)
    kept = warehouse.rows(
        "select event_hour from marts.metric_facts"
        f" where event_date = '{DAY}' and impressions is not null and spend is not null"
    )
    assert {row["event_hour"] for row in kept} == set(range(9)), "impressions are held"
    assert hourly(warehouse) == told
    assert len(found(warehouse)) == 1
    warehouse.pull(DAY, AdDay("1", usual))
    warehouse.build(DAY, DAY, tests=False, models=ANOMALIES)
    assert hourly(warehouse) == told
    assert len(found(warehouse)) == 1


OLD_COLUMNS = (
    "anomaly_key text not null, workspace_id uuid, account_id text not null, level text not null,"
    " external_entity_id text not null, event_date date not null, measure text not null,"
    " kind text not null, value numeric not null, expected numeric not null, score numeric,"
    " change_percent numeric, evidence_weeks bigint, related_measures text, sentence text not null"
)


def test_a_database_from_before_hours_is_taken_over(warehouse: Warehouse) -> None:
    """Columns are added, and what was told before is told anew, whatever dates are built."""
    warehouse.account()
    early = DAY - WEEK
    for weeks_ago in range(1, 8):
        warehouse.pull(early - weeks_ago * WEEK, spent("1", 100))
    warehouse.pull(early, spent("1", 500))
    warehouse.pull(DAY, spent("1", 100))
    warehouse.build(early - 8 * WEEK, DAY, tests=False, models=ANOMALIES)
    told = "select anomaly_key, grain, severity, sentence, status from marts.anomalies"
    now = warehouse.rows(told)
    assert [row["severity"] for row in now] == ["warn"]
    warehouse.execute(
        "drop table intermediate.int_meta__anomaly_days, intermediate.int_meta__anomaly_hours,"
        " intermediate.int_meta__anomaly_budgets, marts.anomalies cascade",
        f"create table marts.anomalies ({OLD_COLUMNS})",
        "insert into marts.anomalies values ('meta:account:1:2026-11-12', null, '1', 'account',"
        " '1', '2026-11-12', 'spend', 'spike', 1, 1, 5, 0, 7, null, 'as it was told')",
    )
    warehouse.build(DAY, DAY, tests=False, models=TABLES_AND_VIEWS)
    assert warehouse.rows(told) == now


def test_what_had_ended_before_its_first_pull_did_not_stop(warehouse: Warehouse) -> None:
    """Campaigns of a backfilled past: one at its end date, one paused at some time, one running."""
    ended = {"end_time": f"{DAY - timedelta(days=3)}T00:00:00+0100"}
    for account_id, adset, status in (
        ("1", ended, "ACTIVE"),
        ("2", {}, "CAMPAIGN_PAUSED"),
        ("3", {}, "ACTIVE"),
    ):
        warehouse.account(account_id)
        prefix = "" if account_id == "1" else f"{account_id}0"
        warehouse.execute(
            f"delete from raw.ads where account_id = '{account_id}' and id <> '{prefix}1'"
        )
        warehouse.entity("adsets", f"{prefix}31", account_id, adset, campaign_id=f"{prefix}21")
        version(warehouse, "ad", f"{prefix}1", str(PULLED), effective_status=status)
        for weeks_ago in range(1, 8):
            warehouse.pull(DAY - weeks_ago * WEEK, spent("1", 100), account_id=account_id)
        # Another campaign keeps the account as a whole as it was.
        warehouse.pull(DAY, spent("2", 100), account_id=account_id)
        other = f"{prefix}22"
        warehouse.entity("campaigns", other, account_id, {"objective": "OUTCOME_SALES"})
        for table in ("insights_hourly", "insights_daily"):
            warehouse.execute(
                f"update raw.{table} set campaign_id = '{other}'"
                f" where ad_id = '{prefix}2' and account_id = '{account_id}'"
            )
    warehouse.build(DAY - 8 * WEEK, DAY, tests=False, models=ANOMALIES)
    rows = warehouse.rows(
        "select external_entity_id, kind, severity, explanation from marts.anomalies order by 1"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("3021", "stopped", "warn", "no pause, end date or spent budget of its ads explains it")
    ]


def test_a_day_is_judged_again_when_older_history_comes(warehouse: Warehouse) -> None:
    warehouse.account()
    warehouse.pull(DAY, spent("1", 300))
    warehouse.build(DAY, DAY, tests=False, models=ANOMALIES)
    assert found(warehouse) == [], "nothing to compare with"
    for weeks_ago in range(1, 8):
        warehouse.pull(DAY - weeks_ago * WEEK, spent("1", 100 + RIPPLE[weeks_ago]))
    warehouse.build(DAY - 8 * WEEK, DAY - WEEK, tests=False, models=ANOMALIES)
    assert found(warehouse) == [("account", "1", DAY, "spend", "spike", "impressions, clicks")]


def test_what_is_unusual_does_not_depend_on_the_dates_built_with_it(warehouse: Warehouse) -> None:
    """Paused for weeks, then on again: the pause is no evidence, whether it was read or not."""
    for account_id in ("1", "2"):
        warehouse.account(account_id)
    # Account 1 is judged by its day, account 2 by its hours.
    tripled = AdDay("1", usual_hours(0, h9=3, h10=3))
    for weeks_ago in range(9, -1, -1):
        day, is_on = DAY - weeks_ago * WEEK, weeks_ago == 9 or weeks_ago <= 4
        usual = spent("1", 500 if weeks_ago == 0 else 100 + RIPPLE[weeks_ago % 9])
        hours = tripled if weeks_ago == 0 else AdDay("1", usual_hours(weeks_ago % 9))
        warehouse.pull(day, *([usual] if is_on else []))
        warehouse.pull(day, *([hours] if is_on else []), account_id="2")
    seen = "select anomaly_key, measure, status, evidence_weeks from marts.anomalies order by 1"
    warehouse.build(DAY, DAY, tests=False, models=ANOMALIES)
    for first in (DAY - 9 * WEEK, DAY - WEEK, DAY):
        warehouse.build(first, DAY, tests=False, models=ANOMALIES)
        rows = [row for row in warehouse.rows(seen) if str(DAY) in row["anomaly_key"]]
        assert [tuple(row.values()) for row in rows] == [
            (f"meta:account:1:{DAY}", "spend", "open", 4),
            (f"meta:account:2:{DAY}T09", "spend", "open", 4),
        ], first


def test_a_day_that_ends_at_midnight_ends_at_24(warehouse: Warehouse) -> None:
    warehouse.account()
    eight_weeks(warehouse, "1")
    late = {f"h{hour}": 0 for hour in range(19, 24)}
    warehouse.pull(DAY, AdDay("1", usual_hours(0, **late)))
    warehouse.build(DAY - 9 * WEEK, DAY, tests=False, models=ANOMALIES)
    (sentence,) = (
        row["sentence"] for row in warehouse.rows("select sentence from marts.anomalies")
    )
    assert "no impressions on Thursday 2026-11-19 from 19:00 to 24:00, usually" in sentence
