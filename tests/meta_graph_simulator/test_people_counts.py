"""Reach, frequency and unique counts: no sums, but between a part and the sum of the parts."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_graph_simulator.accounts.generator import GeneratedAccount
from meta_graph_simulator.insights.run import run
from tests.meta_graph_simulator.generated_accounts import LEVELS, NOW, Row, account, query

PEOPLE = ("reach", "unique_clicks", "unique_inline_link_clicks")
FIELDS = (
    *("campaign_id", "adset_id", "ad_id", "account_id"),
    *(
        *PEOPLE,
        "frequency",
        "impressions",
        "clicks",
        "unique_ctr",
        "cost_per_unique_click",
        "spend",
    ),
)
PARENTS = {"ad": "adset", "adset": "campaign", "campaign": "account"}
END = NOW.date() - timedelta(days=1)


@pytest.fixture(scope="module")
def source() -> GeneratedAccount:
    return account(ads=30)


def ask(source: GeneratedAccount, level: str, increment: int | str, since: date) -> list[Row]:
    return run(
        source,
        query(level=level, time_increment=increment, since=since, until=END, fields=FIELDS),
    )


def check_whole(whole: Row, parts: list[Row]) -> None:
    """A whole has at least what its largest part has and at most what all have together."""
    for name in PEOPLE:
        counts = [int(part[name]) for part in parts]
        assert max(counts) <= int(whole[name]) <= sum(counts)


@pytest.mark.parametrize("increment", [7, 28, "monthly", "all_days"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_period_has_fewer_people_than_its_days(
    source: GeneratedAccount, level: str, increment: int | str
) -> None:
    since = END - timedelta(days=55)
    days = defaultdict(list)
    for row in ask(source, level, 1, since):
        days[row[f"{level}_id"]].append(row)
    wholes = ask(source, level, increment, since)
    assert wholes
    saved = 0
    for whole in wholes:
        parts = [
            day
            for day in days[whole[f"{level}_id"]]
            if whole["date_start"] <= day["date_start"] <= whole["date_stop"]
        ]
        check_whole(whole, parts)
        assert int(whole["impressions"]) == sum(int(day["impressions"]) for day in parts)
        saved += int(whole["reach"]) < sum(int(day["reach"]) for day in parts)
    assert saved > len(wholes) / 2


@settings(max_examples=15)
@given(
    seed=st.integers(0, 30), ads=st.integers(1, 25), increment=st.sampled_from([1, 7, "monthly"])
)
def test_an_object_has_fewer_people_than_its_children(
    seed: int, ads: int, increment: int | str
) -> None:
    source = account(ads=ads, seed=seed)
    since = END - timedelta(days=13)
    for child, parent in PARENTS.items():
        children = defaultdict(list)
        for row in ask(source, child, increment, since):
            children[row[f"{parent}_id"], row["date_start"]].append(row)
        wholes = ask(source, parent, increment, since)
        assert len(wholes) == len(children)
        for whole in wholes:
            check_whole(whole, children[whole[f"{parent}_id"], whole["date_start"]])


def test_the_ratios_are_of_the_counts_beside_them(source: GeneratedAccount) -> None:
    rows = ask(source, "campaign", 7, END - timedelta(days=27))
    delivered = [row for row in rows if row["clicks"] != "0"]
    assert len(delivered) > 10
    assert all(("frequency" in row) == (row["reach"] != "0") for row in rows)
    for row in delivered:
        reach, clickers = int(row["reach"]), int(row["unique_clicks"])
        assert abs(Decimal(row["frequency"]) - Decimal(row["impressions"]) / reach) < Decimal(
            "1e-5"
        )
        assert abs(Decimal(row["unique_ctr"]) - Decimal(100 * clickers) / reach) < Decimal("1e-5")
        assert clickers <= min(int(row["clicks"]), reach)
        cost = Decimal(row["spend"]) / clickers
        assert abs(Decimal(row["cost_per_unique_click"]) - cost) < Decimal("1e-5")


def test_the_same_question_has_the_same_answer(source: GeneratedAccount) -> None:
    since = END - timedelta(days=27)
    assert ask(source, "adset", 28, since) == ask(account(ads=30), "adset", 28, since)


def test_rows_of_a_period_say_their_first_and_last_day(source: GeneratedAccount) -> None:
    weeks = ask(source, "account", 7, END - timedelta(days=16))
    assert [(row["date_start"], row["date_stop"]) for row in weeks] == [
        ("2026-11-04", "2026-11-10"),
        ("2026-11-11", "2026-11-17"),
        ("2026-11-18", "2026-11-20"),
    ]
    months = ask(source, "account", "monthly", date(2026, 9, 20))
    assert [(row["date_start"], row["date_stop"]) for row in months] == [
        ("2026-09-20", "2026-09-30"),
        ("2026-10-01", "2026-10-31"),
        ("2026-11-01", "2026-11-20"),
    ]


def test_unique_counts_are_kept_for_thirteen_months() -> None:
    source = account(from_date=date(2025, 1, 1))
    days = {"time_increment": 1, "since": date(2025, 10, 20), "until": date(2025, 10, 20)}
    (old,) = run(source, query(fields=FIELDS, **days))
    assert "unique_clicks" not in old
    assert "reach" in old
    days["since"] = days["until"] = date(2025, 10, 21)
    (kept,) = run(source, query(fields=FIELDS, **days))
    assert "unique_clicks" in kept
