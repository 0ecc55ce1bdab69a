"""Whatever accounts tell, in whatever order it is pulled: rows in equal rows out, sums are equal.

The accounts are made up from a seed (``generated_history``): other timezones with days on which the
clocks change, other currencies, days told several times with other numbers, ads that vanish and
come late, days without activity, deleted objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.slices import Attempt
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.raw.load import PulledRows, load_insights

from .generated_history import FIRST_PULL, GeneratedAccount, Version, generate
from .warehouse import Warehouse, own_id

pytestmark = pytest.mark.slow

SEEDS = (7, 2026)
MEASURES = ("spend", "impressions", "clicks", "purchases", "revenue")
DELIVERY = MEASURES[:3]
# What tells when something was written, not what Meta said.
ARRIVAL = {
    *("restatement_id", "first_seen_at", "changed_at"),
    *("data_lag_minutes", "pull_lag_minutes"),
}


def land(
    warehouse: Warehouse, account: GeneratedAccount, day: date, number: int, version: Version
) -> None:
    """The three pulls of one account-day, by the real loader."""
    known = Account(account.account_id, account.timezone, account.currency)
    rows = {
        "insights_hourly": account.hour_rows(day, version),
        "insights_daily": account.day_rows(day, version),
        "account_totals": account.account_rows(day, version),
    }
    pulled_at = FIRST_PULL + timedelta(hours=number)
    for asset, answer in rows.items():
        pulled = PulledRows(answer, [day], "v26.0", pulled_at)
        by = Attempt(f"sync-{number}", f"run-{number}")
        loaded = load_insights(warehouse.database, known, INSIGHTS_TABLES[asset], pulled, by)
        assert loaded.counts[day].dead_lettered == 0
        assert loaded.counts[day].fetched == len(answer)


def introduce(warehouse: Warehouse, accounts: Sequence[GeneratedAccount]) -> None:
    """Make the accounts and their objects known; one ad of each is deleted by now."""
    for account in accounts:
        warehouse.account(account.account_id, account.timezone, account.currency)
        warehouse.execute(
            "update raw.ads set is_deleted = true, effective_status = 'DELETED'"
            f" where id = '{own_id(account.account_id, '2')}'"
        )


def build_all(warehouse: Warehouse, accounts: Sequence[GeneratedAccount]) -> None:
    """Build every date of the accounts, with all data tests."""
    dates = [day for account in accounts for day in account.days]
    warehouse.build(min(dates), max(dates))


def summed(rows: Sequence[dict[str, Any]], *key: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The measures' sums by key; None where no row knows the measure."""
    sums: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(lambda: dict.fromkeys(MEASURES))
    for row in rows:
        total = sums[tuple(row[name] for name in key)]
        for name in MEASURES:
            if row[name] is not None:
                total[name] = (total[name] or 0) + row[name]
    return {place: tuple(total.values()) for place, total in sums.items()}


def expected_rows(accounts: Sequence[GeneratedAccount]) -> list[dict[str, Any]]:
    """Ad-days as the last version of each day tells them, with every key."""
    return [
        {
            "account_id": account.account_id,
            "campaign_id": own_id(account.account_id, "21"),
            "adset_id": own_id(account.account_id, "31"),
            "ad_id": ad_id,
            "event_date": day,
            **totals,
        }
        for account in accounts
        for (ad_id, day), totals in account.expected_days().items()
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_any_account_comes_out_as_it_went_in(warehouse: Warehouse, seed: int) -> None:
    accounts = generate(seed)
    introduce(warehouse, accounts)
    for account in accounts:
        for day, number, version in account.pulls():
            land(warehouse, account, day, number, version)
    build_all(warehouse, accounts)

    facts = warehouse.rows("select * from marts.metric_facts")
    hours = {(f["ad_id"], f["event_at"]): f for f in facts if f["grain"] == "hour"}
    expected_hours = {k: v for a in accounts for k, v in a.expected_hours().items()}
    assert {k: tuple(f[name] for name in DELIVERY) for k, f in hours.items()} == expected_hours
    assert len(facts) == len({f["natural_key"] for f in facts})
    # Conversions are on day rows only: one for each ad-day that has any.
    days = {(f["ad_id"], f["event_date"]) for f in facts if f["grain"] == "day"}
    ad_days = expected_rows(accounts)
    assert days == {(r["ad_id"], r["event_date"]) for r in ad_days if r["purchases"]}
    assert len(facts) == len(expected_hours) + len(days)

    for mart, key in [
        ("account_daily", ("account_id", "event_date")),
        ("campaign_daily", ("campaign_id", "event_date")),
        ("adset_daily", ("adset_id", "event_date")),
        ("ad_daily", ("ad_id", "event_date")),
        ("account_hourly", ("account_id", "event_date")),
        ("campaign_hourly", ("campaign_id", "event_date")),
    ]:
        rows = warehouse.rows(f"select * from marts.{mart}")
        ours, meta = summed(rows, *key), summed(ad_days, *key)
        if mart.endswith("hourly"):
            # Conversions are known by the day only.
            ours, meta = ({k: v[:3] for k, v in sums.items()} for sums in (ours, meta))
        assert ours == meta, mart
    statuses = warehouse.rows("select distinct status from marts.reconciliation")
    assert [row["status"] for row in statuses] == ["reconciled"]
    assert_the_ledger_leads_from_the_first_version_to_the_last(warehouse, accounts)

    before = warehouse.contents("*, xmin::text")
    for account in accounts:
        for day, versions in account.days.items():
            land(warehouse, account, day, len(versions) - 1, versions[-1])
    build_all(warehouse, accounts)
    assert warehouse.contents("*, xmin::text") == before, "a second load touches no row"


def assert_the_ledger_leads_from_the_first_version_to_the_last(
    warehouse: Warehouse, accounts: Sequence[GeneratedAccount]
) -> None:
    changes: dict[tuple[str, date, str], Decimal] = defaultdict(Decimal)
    for row in warehouse.rows(
        "select external_entity_id, event_date, measure, change from marts.restatements"
        " where asset = 'insights_daily'"
    ):
        changes[row["external_entity_id"], row["event_date"], row["measure"]] += row["change"]
    for account in accounts:
        first = replace(account, days={d: v[:1] for d, v in account.days.items()}).expected_days()
        last = account.expected_days()
        for ad_id, day in first.keys() | last.keys():
            for name in DELIVERY:
                told = [version.get((ad_id, day), {}).get(name) or 0 for version in (first, last)]
                assert told[0] + changes.get((ad_id, day, name), 0) == told[1]


def test_the_order_of_pulls_does_not_matter(warehouse: Warehouse) -> None:
    accounts = generate(99, accounts=4)
    pulls = [(a, *pull) for a in accounts for pull in a.pulls()]
    introduce(warehouse, accounts)
    for pull in pulls:
        land(warehouse, *pull)
    build_all(warehouse, accounts)
    in_order = comparable(warehouse)

    warehouse.empty()
    introduce(warehouse, accounts)
    random = Random(99)
    # Versions of one day can only come in the order in which Meta tells them.
    places = [(account.account_id, day) for account, day, _, _ in pulls]
    random.shuffle(places)
    waiting: dict[tuple[str, date], list[Any]] = defaultdict(list)
    for pull in pulls:
        waiting[pull[0].account_id, pull[1]].append(pull)
    half = len(places) // 2
    for place in places[:half]:
        land(warehouse, *waiting[place].pop(0))
    build_windows(warehouse, accounts, random)
    for place in places[half:]:
        land(warehouse, *waiting[place].pop(0))
    build_windows(warehouse, accounts, random)
    shuffled = comparable(warehouse)
    assert shuffled.keys() == in_order.keys()
    for mart, rows in in_order.items():
        assert shuffled[mart] == rows, mart


def build_windows(
    warehouse: Warehouse, accounts: Sequence[GeneratedAccount], random: Random
) -> None:
    """Build every date that is there, as two windows, the later one first or last by chance."""
    dates = sorted({day for account in accounts for day in account.days})
    middle = dates[len(dates) // 2]
    windows = [(dates[0], middle - timedelta(days=1)), (middle, dates[-1])]
    random.shuffle(windows)
    for window in windows:
        warehouse.build(*window, tests=False)


def comparable(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """Every mart's rows, views included, without what only tells when they arrived."""
    relations = warehouse.rows(
        "select table_name as name,"
        " array_agg(column_name::text order by ordinal_position) as names"
        " from information_schema.columns where table_schema = 'marts'"
        "   and table_name !~ '_p?[0-9]{4}_?[0-9]{2}$' group by 1"
    )
    found: dict[str, list[tuple[Any, ...]]] = {}
    for relation in relations:
        columns = ", ".join(name for name in relation["names"] if name not in ARRIVAL)
        rows = warehouse.rows(f"select {columns} from marts.{relation['name']}")
        found[relation["name"]] = sorted((tuple(row.values()) for row in rows), key=repr)
    return found
