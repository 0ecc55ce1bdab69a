"""What is said of an account-day follows when and how completely it was pulled, everywhere alike.

And of an account-day whose pulls disagree only the measures that do are held back.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from meta_ads_pipeline.control.accounts import active_accounts
from meta_ads_pipeline.quality.catalogue import rule_of
from meta_ads_pipeline.quality.runner import evaluate
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.windows import DateWindow

from .warehouse import AdDay, Warehouse, failures

pytestmark = pytest.mark.slow

FIRST = date(2026, 3, 2)
HALF, NEXT_DAY, AT_28, AT_29, HELD, WITHHELD, MIXED, NO_HOURS, YOUNG = (
    FIRST + timedelta(days=n) for n in range(9)
)
LAST = YOUNG
OLD = FIRST - timedelta(days=1)
"""Older than Meta keeps hours for."""
ROLLUPS = (
    *("account_daily", "campaign_daily", "adset_daily", "ad_daily"),
    *("account_hourly", "campaign_hourly"),
)


def after(day: date, days: float) -> datetime:
    """So many days after noon (UTC) of a date."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(days=days)


@pytest.fixture(scope="module")
def built(built_warehouse: Warehouse) -> Warehouse:
    """Each date in a state of its own; one is pulled and built a second time."""
    warehouse = built_warehouse
    warehouse.empty()
    warehouse.account()
    ad = AdDay("1", {9: ("2.50", 10, 1)})
    for day, age in ((HALF, 0), (NEXT_DAY, 1), (AT_28, 28), (AT_29, 29), (HELD, 5)):
        warehouse.pull(day, ad, pulled_at=after(day, age))
    bought = AdDay("1", {9: ("2.50", 10, 1)}, {"omni_purchase": "3"}, {"omni_purchase": "90"})
    warehouse.pull(WITHHELD, bought, pulled_at=after(WITHHELD, 29))
    warehouse.pull(
        MIXED,
        AdDay("1", {9: ("1", 10, 1)}, {"lead": "8", "onsite_conversion.lead_grouped": "8"}),
        AdDay("2", {9: ("1", 10, 1)}, {"onsite_conversion.lead_grouped": "4"}),
        pulled_at=after(MIXED, 29),
    )
    for day, age in ((NO_HOURS, 5), (YOUNG, 0.4)):
        warehouse.pull(
            day,
            AdDay("1", {9: ("1000", 10000, 1)}),
            AdDay("2", {9: ("1", 10, 0)}),
            pulled_at=after(day, age),
        )
    warehouse.pull(
        OLD,
        AdDay("1", {9: ("2.50", 10, 1)}, {"omni_purchase": "2", "like": "1"}),
        AdDay("2", {9: ("1.25", 30, 0)}, {"like": "1"}),
        assets=("insights_daily", "account_totals"),
        pulled_at=after(OLD, 400),
    )
    warehouse.execute(
        "insert into control.slices (account_id, partition_date, asset, status)"
        f" values ('1', '{OLD}', 'insights_hourly', 'not_kept')",
        "update raw.account_totals set actions = null, action_values = null"
        f" where event_date = '{WITHHELD}'",
        "delete from raw.insights_hourly where ad_id = '2'"
        f" and event_date in ('{NO_HOURS}', '{YOUNG}')",
    )
    warehouse.build(OLD, LAST, tests=False)
    # Spend disagrees from now on, impressions have grown alike.
    warehouse.pull(
        HELD, AdDay("1", {9: ("3", 12, 1)}), account_spend="9", pulled_at=after(HELD, 30)
    )
    warehouse.build(HELD)
    return warehouse


def of_day(warehouse: Warehouse, day: date) -> dict[str, Any]:
    (row,) = warehouse.rows("select * from marts.account_daily where event_date = %s", day)
    return row


def status(warehouse: Warehouse, day: date, measure: str) -> str:
    return str(
        warehouse.value(
            "select status from marts.reconciliation where event_date = %s and measure = %s",
            *(day, measure),
        )
    )


@pytest.mark.parametrize(
    ("day", "state", "is_reconciled", "is_settled"),
    [
        (HALF, "incomplete", False, False),
        (NEXT_DAY, "unsettled", True, False),
        (AT_28, "unsettled", True, False),
        (AT_29, "settled", True, True),
        (OLD, "settled", True, True),
    ],
)
def test_complete_and_settled_follow_the_pull_not_the_calendar(
    built: Warehouse, day: date, state: str, is_reconciled: bool, is_settled: bool
) -> None:
    row = of_day(built, day)
    assert (row["is_reconciled"], row["is_settled"]) == (is_reconciled, is_settled)
    spend = Decimal("3.75") if day == OLD else Decimal("2.50")
    assert row["spend"] == spend, "shown all the same"
    assert built.value("select state from control.account_days where event_date = %s", day) == state


def test_delivery_is_on_day_rows_where_meta_keeps_no_hours(built: Warehouse) -> None:
    facts = built.rows(
        "select natural_key, grain, spend, impressions, clicks, purchases from marts.metric_facts"
        " where event_date = %s order by ad_id",
        OLD,
    )
    assert [tuple(row.values()) for row in facts] == [
        (f"1-{OLD}", "day", Decimal("2.50"), 10, 1, 2),
        (f"2-{OLD}", "day", Decimal("1.25"), 30, 0, None),
    ]
    compared = built.rows(
        "select hourly_total, ad_daily_total, account_total, status, reason"
        " from marts.reconciliation where measure = 'spend' and event_date = %s",
        OLD,
    )
    agreed = (None, Decimal("3.75"), Decimal("3.75"), "reconciled", None)
    assert [tuple(row.values()) for row in compared] == [agreed]
    (row,) = built.rows("select * from marts.campaign_daily where event_date = %s", OLD)
    assert (row["spend"], row["impressions"], row["purchases"]) == (Decimal("3.75"), 40, 2)
    assert built.rows("select 1 from marts.account_hourly where event_date = %s", OLD) == []
    data_tests = ("each_measure_on_one_grain", "conversions_sum_to_the_day")
    result = built.dbt("test", "--select", *data_tests)
    assert result.success, failures(result)
    scope = CheckScope(
        DateWindow(OLD, OLD), tuple(active_accounts(built.database)), after(OLD, 401)
    )
    checks = (("marts/metric_facts", "levels"), ("marts/reconciliation", "reconciliation"))
    for asset, name in checks:
        found = evaluate(built.database, rule_of(asset, name), asset, scope)
        assert found.passed, found.description


def test_every_flag_says_the_same_of_every_day(built: Warehouse) -> None:
    for table in ("metric_facts", "reconciliation", *ROLLUPS):
        differing = built.rows(
            f"select t.event_date from marts.{table} as t"
            " join control.account_days as d using (account_id, event_date)"
            " where t.is_settled is distinct from d.is_settled"
        )
        assert differing == [], table


def test_only_the_measure_that_disagrees_keeps_its_last_good_value(built: Warehouse) -> None:
    row = of_day(built, HELD)
    assert (row["spend"], row["impressions"]) == (Decimal("2.50"), 12)
    assert (row["is_reconciled"], row["is_settled"]) == (False, True)
    assert status(built, HELD, "spend") == "mismatch"
    assert status(built, HELD, "impressions") == "reconciled"


def test_what_meta_withholds_above_the_ad_holds_nothing_else_back(built: Warehouse) -> None:
    row = of_day(built, WITHHELD)
    assert (row["spend"], row["purchases"], row["is_reconciled"]) == (Decimal("2.50"), None, False)
    assert status(built, WITHHELD, "purchases") == "withheld"
    reason = built.value(
        "select reason from marts.reconciliation where event_date = %s and measure = 'purchases'",
        WITHHELD,
    )
    assert reason.startswith("withheld above ad level")


def test_types_are_reconciled_not_the_ads_choices(built: Warehouse) -> None:
    """12 of the ads and 8 of the account, by the first type that each has."""
    assert status(built, MIXED, "leads") == "reconciled"
    row = of_day(built, MIXED)
    assert (row["leads"], row["is_reconciled"]) == (12, True)


def test_an_ad_without_hours_is_a_mismatch_however_small(built: Warehouse) -> None:
    assert status(built, NO_HOURS, "spend") == "mismatch"
    assert status(built, NO_HOURS, "clicks") == "reconciled"
    assert status(built, YOUNG, "spend") == "within_tolerance"


def test_freshness_names_what_is_held_and_what_is_half(built: Warehouse) -> None:
    (row,) = built.rows("select * from marts.freshness")
    assert row["held_dates"] == f"{HELD}, {NO_HOURS}"
    assert row["incomplete_dates"] == f"{HALF}, {YOUNG}"
    assert row["is_late"]


@pytest.mark.parametrize(
    ("now", "late"),
    [
        ("2026-03-10T23:29Z", False),  # the hour up to 22:00 UTC has been over for 89 minutes
        ("2026-03-10T23:31Z", True),
    ],
)
def test_late_is_the_newest_hour_that_should_be_there(
    built: Warehouse, now: str, late: bool
) -> None:
    """Hours were pulled up to 21:36 UTC of the last date; any older pull says nothing about it."""
    with built.database.connect() as connection:
        connection.execute("select set_config('meta_ads.now', %s, true)", [now])
        row = connection.execute("select is_late from marts.freshness").fetchone()
    assert row is not None
    assert row["is_late"] is late
