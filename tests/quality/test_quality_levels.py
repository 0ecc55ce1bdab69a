"""The same total at every level, or the table that differs is named."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.control.check_results import DayResult, record_results
from meta_ads_pipeline.quality.levels import CONVERSIONS, DAILY, HOURLY, check_levels, compared
from meta_ads_pipeline.quality.scope import CheckScope
from tests.quality.landing import DAYS, ROLLUPS, Landing

BAD = "account_id = '1' and event_date = '2026-03-03'"


def differing(landing: Landing, scope: CheckScope) -> list[DayResult]:
    found = check_levels(landing.database, scope)
    assert found.passed is not any(result.status == "failed" for result in found.days)
    return [result for result in found.days if result.status == "failed"]


def test_equal_totals_pass_and_are_shown(world: Landing, scope: CheckScope):
    found = check_levels(world.database, scope)
    assert found.passed
    assert found.description == "the totals of 6 account-days are the same at every level"
    impressions = found.metadata["totals_by_level"].records[0].data
    assert set(impressions.values()) == {"impressions", "1,440"}


@pytest.mark.parametrize("rollup", ROLLUPS)
def test_a_rollup_that_differs_is_named(world: Landing, scope: CheckScope, rollup: str):
    world.execute(f"update marts.{rollup} set clicks = clicks + 1 where {BAD}")
    (result,) = differing(world, scope)
    assert (result.account_id, result.event_date, result.violations) == ("1", DAYS[1], 1)
    assert result.expected == "clicks 48, as in the facts"
    assert result.observed is not None
    assert result.observed.endswith(" 49")


def test_a_rollup_without_the_account_day_differs(world: Landing, scope: CheckScope):
    world.execute(f"delete from marts.adset_daily where {BAD}")
    (result,) = differing(world, scope)
    assert result.observed == "ad sets none"
    assert result.violations == 4


def test_facts_that_are_not_what_was_pulled(world: Landing, scope: CheckScope):
    world.execute(f"update raw.insights_hourly set spend = spend + 0.01 where {BAD}")
    (result,) = differing(world, scope)
    assert result.message == "spend differs in pulled hours"


@pytest.mark.parametrize(
    "excuse",
    [
        f"update marts.reconciliation set status = 'mismatch' where {BAD} and measure = 'spend'",
        "update control.slices set finished_at = '2026-03-21Z', run_id = 'another'"
        " where asset = 'insights_hourly'",
    ],
)
def test_what_is_held_back_or_pulled_since_is_not_compared_with_the_pull(
    world: Landing, scope: CheckScope, excuse: str
):
    world.execute(f"update raw.insights_hourly set spend = 0 where {BAD}")
    world.execute(excuse)
    assert differing(world, replace(scope, run_id="own")) == []


def test_what_the_gate_holds_is_not_compared_with_the_pull(world: Landing, scope: CheckScope):
    world.execute(f"update raw.insights_hourly set spend = 0 where {BAD}")
    held = [DayResult("1", DAYS[1], "failed", 1)]
    key = ("raw/insights_hourly", "schema")
    record_results(world.database, key, "block", held, run_id="r")
    assert differing(world, scope) == []


TOTALS = st.one_of(st.none(), st.integers(0, 3).map(Decimal))


@given(st.dictionaries(st.sampled_from(["facts", "pull", *HOURLY, *DAILY]), TOTALS), st.booleans())
def test_a_table_differs_exactly_when_its_total_does(said: dict[str, Any], conversions: bool):
    measure = "leads" if conversions else "clicks"
    rows = compared(
        [
            {"account_id": "1", "event_date": DAYS[0], "relation": table, measure: total}
            for table, total in said.items()
        ]
    )
    by_measure = {row["measure"]: row for row in rows}
    if not said:
        assert rows == []
        return
    judged = {*DAILY} if measure in CONVERSIONS else {*DAILY, *HOURLY, *({"pull"} & said.keys())}
    expected = {table for table in judged if said.get(table) != said.get("facts")}
    assert by_measure[measure]["differing"] == expected
    assert all(by_measure[measure][table] is (table not in expected) for table in (*DAILY, *HOURLY))
