"""Which past days are read again: worth their calls, within the budget, and written down."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.automation.changing_days import (
    CHOSEN,
    LEAST_CHANGE,
    NO_CALLS,
    NOT_WORTH,
    TOO_LITTLE,
    WORTH_A_CALL,
    Candidate,
    Headroom,
    ReadingCost,
    choose,
    plan_pass,
)
from meta_ads_pipeline.automation.changing_days_schedule import refresh_changing_days
from meta_ads_pipeline.control import refresh_decisions
from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.control.slices import Attempt, SliceCounts, SliceKey, finish
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from meta_ads_pipeline.raw.context import REFRESH_CHANGING, REFRESH_RECENT, REFRESH_TAG

NEW_YORK = Account("1", "America/New_York", "USD")
NOW = datetime(2026, 11, 20, 20, 50, tzinfo=UTC)
TODAY = date(2026, 11, 20)
SMALL = ReadingCost(daily_rows=40, hourly_rows=800)
LARGE = ReadingCost(daily_rows=1000, hourly_rows=20_000)
ROOM = Headroom(1000)


def candidate(age: int, change: float, account_id: str = "1", correction: float = 0) -> Candidate:
    day = TODAY - timedelta(days=age)
    return Candidate(account_id, day, NOW, change, "actions:purchase", correction)


def chosen_ages(decisions) -> dict[str, list[int]]:
    ages: dict[str, list[int]] = {}
    for each in decisions:
        if each.is_chosen:
            ages.setdefault(each.account_id, []).append((TODAY - each.day).days)
    return {account_id: sorted(found) for account_id, found in ages.items()}


# The choice


def test_nothing_is_read_for_less_than_a_call_is_worth() -> None:
    (decision,) = choose([candidate(1, 1.9 * WORTH_A_CALL)], {"1": SMALL}, {"1": ROOM})
    assert (decision.is_chosen, decision.reason) == (False, NOT_WORTH)
    assert decision.expected_calls == 2  # the days and the totals
    (decision,) = choose([candidate(1, 2.1 * WORTH_A_CALL)], {"1": SMALL}, {"1": ROOM})
    assert (decision.is_chosen, decision.reason) == (True, CHOSEN)


def test_days_that_cost_no_further_call_come_along_unless_they_promise_nothing() -> None:
    days = [candidate(age, 0.1 / age) for age in range(1, 8)] + [candidate(8, 0.0)]
    decisions = choose(days, {"1": SMALL}, {"1": ROOM})
    assert chosen_ages(decisions) == {"1": [1, 2, 3, 4, 5, 6, 7]}
    (left,) = [each for each in decisions if not each.is_chosen]
    assert (left.reason, left.expected_calls) == (TOO_LITTLE, 0)


def test_where_every_day_costs_calls_only_the_changing_ones_are_read() -> None:
    days = [candidate(age, 4.1 * WORTH_A_CALL / age) for age in range(1, 29)]
    decisions = choose(days, {"1": LARGE}, {"1": ROOM})
    assert chosen_ages(decisions) == {"1": [1, 2, 3, 4]}


def test_hours_that_must_be_read_again_have_their_price() -> None:
    days = [candidate(1, 0.1, correction=0.9), candidate(2, 0.1, correction=0.0)]
    assert chosen_ages(choose(days, {"1": LARGE}, {"1": ROOM})) == {"1": [2]}


def test_a_gap_between_days_is_a_window_of_its_own() -> None:
    days = [candidate(1, 0.2), candidate(20, 0.03)]
    assert chosen_ages(choose(days, {"1": SMALL}, {"1": ROOM})) == {"1": [1]}
    assert SMALL.calls(days) == 4


def test_the_calls_go_where_they_find_most() -> None:
    days = [candidate(1, 0.1, "1"), candidate(1, 0.3, "2"), candidate(1, 0.2, "3")]
    costs = dict.fromkeys("123", SMALL)
    decisions = choose(days, costs, dict.fromkeys("123", ROOM), calls=5)
    assert chosen_ages(decisions) == {"2": [1], "3": [1]}
    assert {each.reason for each in decisions if each.account_id == "1"} == {NO_CALLS}


def test_an_account_above_the_ceiling_is_left_alone_and_says_so() -> None:
    days = [candidate(1, 0.3, "1"), candidate(1, 0.3, "2")]
    room = {"1": Headroom(0, "60 % of the call budget are used"), "2": ROOM}
    decisions = choose(days, dict.fromkeys("12", SMALL), room)
    assert chosen_ages(decisions) == {"2": [1]}
    reasons = {each.account_id: each.reason for each in decisions}
    assert reasons == {"1": "60 % of the call budget are used", "2": CHOSEN}


@given(
    st.lists(
        st.tuples(st.integers(1, 28), st.floats(0, 0.5), st.sampled_from("12"), st.floats(0, 1)),
        unique_by=lambda each: (each[0], each[2]),
        max_size=40,
    ),
    st.floats(0, 60),
    st.sampled_from([SMALL, LARGE]),
)
def test_every_candidate_is_decided_once_and_no_call_is_made_too_many(days, calls, cost) -> None:
    candidates = [candidate(age, change, who, chance) for age, change, who, chance in days]
    room = {"1": Headroom(20), "2": Headroom(1000)}
    decisions = choose(candidates, {"1": cost, "2": cost}, room, calls=calls)
    assert sorted((each.account_id, each.day) for each in decisions) == sorted(
        (each.account_id, each.day) for each in candidates
    )
    picked = {(each.account_id, each.day) for each in decisions if each.is_chosen}
    spent = {
        who: cost.calls(
            [c for c in candidates if (c.account_id, c.day) in picked and c.account_id == who]
        )
        for who in "12"
    }
    assert spent["1"] <= 20 + 1e-6
    assert sum(spent.values()) <= calls + 1e-6
    for who in "12":
        gain = sum(
            c.expected_change
            for c in candidates
            if (c.account_id, c.day) in picked and c.account_id == who
        )
        assert gain >= WORTH_A_CALL * spent[who] - 1e-6
    assert all(each.expected_change >= LEAST_CHANGE for each in decisions if each.is_chosen)


# The pass


@pytest.fixture
def history(database):
    """An account with a hundred purchases and 50.00 a day, pulled each morning for a month."""
    with database.connect() as connection:
        save_accounts(connection, [NEW_YORK])
        for age in range(28, 0, -1):
            day = TODAY - timedelta(days=age)
            connection.execute(
                "insert into raw.account_totals (event_date, account_id, timezone, currency, spend,"
                " impressions, clicks, link_clicks, actions, api_version, pulled_at) values"
                " (%s, '1', 'America/New_York', 'USD', 50, 10000, 200, 100, %s, 'v26.0', %s)",
                [day, json.dumps([{"action_type": "purchase", "value": "100"}]), NOW],
            )
    pull_all(database, NOW.replace(hour=9) - timedelta(days=1))
    return database


def pull_all(database, at: datetime, sync_id: str = "daily", days=range(1, 29)) -> None:
    """As if all three pulls had read the days and found nothing new."""
    with database.connect() as connection:
        for asset in INSIGHTS_TABLES:
            counts = {TODAY - timedelta(days=age): SliceCounts(unchanged=40) for age in days}
            calls = dict.fromkeys(counts, 1)
            by = Attempt(sync_id, f"run of {at}")
            finish(connection, SliceKey("1", asset), counts, by, pulled_at=at, api_calls=calls)


def restate(database, age: int, measure: str, change: int, before: datetime, at: datetime) -> None:
    with database.connect() as connection:
        connection.execute(
            "insert into raw.insights_changes (account_id, event_date, asset, entity_id, measure,"
            " old_value, new_value, previous_pulled_at, detected_at)"
            " values ('1', %s, 'account_totals', '1', %s, '0', %s, %s, %s)",
            [TODAY - timedelta(days=age), measure, str(change), before, at],
        )


def decisions(database):
    with database.connect() as connection:
        return connection.execute(
            "select * from control.refresh_decisions order by decided_at, partition_date desc"
        ).fetchall()


def test_what_was_pulled_long_ago_is_read_and_what_was_just_pulled_is_not(history) -> None:
    decided = plan_pass(history, [NEW_YORK], NOW, BudgetRules())
    assert decided.window is not None
    assert decided.window.end == TODAY - timedelta(days=1)
    assert decided.chosen["1"][-1] == TODAY - timedelta(days=1)
    pull_all(history, NOW)
    assert plan_pass(history, [NEW_YORK], NOW + timedelta(hours=1), BudgetRules()).window is None


def test_accounts_that_never_changed_are_left_alone_the_longer_they_are_watched(history) -> None:
    """Thirty quiet mornings weigh more than the assumption about accounts in general."""
    start = NOW.replace(hour=14)
    for back in range(30, 0, -1):
        pull_all(history, start - timedelta(days=back))
    pull_all(history, start)
    tonight = start + timedelta(hours=9)
    assert plan_pass(history, [NEW_YORK], tonight, BudgetRules()).window is None
    # ... where changes were found each time, it is read.
    for age in range(1, 8):
        for day_of_pull in range(1, age + 1):
            at = start - timedelta(days=age - day_of_pull)
            restate(history, age, "actions:purchase", 40, at - timedelta(days=1), at)
    assert plan_pass(history, [NEW_YORK], tonight + timedelta(hours=1), BudgetRules()).window


def test_a_pass_is_written_down_once_and_what_it_found_later(history) -> None:
    first = plan_pass(history, [NEW_YORK], NOW, BudgetRules())
    again = plan_pass(history, [NEW_YORK], NOW, BudgetRules())
    assert first.pass_id == again.pass_id
    rows = decisions(history)
    assert len(rows) == 28
    newest = rows[0]
    assert (newest["is_chosen"], newest["reason"], newest["found_at"]) == (True, CHOSEN, None)
    assert newest["expected_change"] > rows[10]["expected_change"] > 0

    # The run reads the chosen days; the next morning finds more, on other days too.
    at = NOW + timedelta(minutes=5)
    chosen = [(TODAY - day).days for day in first.chosen["1"]]
    pull_all(history, at, first.pass_id, chosen)
    restate(history, 1, "actions:purchase", 7, NOW, at)
    restate(history, 1, "spend", 1, NOW, at)
    with history.connect() as connection:
        refresh_decisions.count_calls(connection, first.pass_id)
        refresh_decisions.count_calls(connection, first.pass_id)
    plan_pass(history, [NEW_YORK], NOW + timedelta(hours=1), BudgetRules())
    newest = decisions(history)[0]
    assert (newest["calls"], newest["found_at"]) == (3, at)
    assert (newest["found_change"], newest["found_measure"]) == (
        pytest.approx(0.07),
        "actions:purchase",
    )


def test_a_day_that_is_not_whole_yet_is_no_candidate(history) -> None:
    early = datetime(2026, 11, 20, 8, tzinfo=UTC)  # three at night in New York
    decided = plan_pass(history, [NEW_YORK], early, BudgetRules())
    assert TODAY - timedelta(days=1) not in {each.day for each in decided.decisions}
    assert TODAY - timedelta(days=2) in {each.day for each in decided.decisions}


@pytest.mark.parametrize(
    ("account_id", "percent", "minutes", "is_read"),
    [("1", 30, 0, True), ("1", 60, 0, False), ("", 60, 0, False), ("1", 60, 40, True)],
)
def test_the_budget_decides_and_frees_itself(history, account_id, percent, minutes, is_read):
    """43 % is the most (60 % of 80 % of the ceiling): from there on other calls would wait."""
    with history.connect() as connection:
        connection.execute(
            "insert into control.call_budgets (app, account_id, percent, span_seconds, read_at,"
            " updated_at) values ('app', %s, %s, 3600, %s, now())",
            [account_id, percent, NOW - timedelta(minutes=minutes)],
        )
    decided = plan_pass(history, [NEW_YORK], NOW, BudgetRules())
    assert bool(decided.window) == is_read
    if not is_read:
        assert "60 % of the call budget are used, 43 % is the most" in decided.summary()
        assert not any(row["is_chosen"] for row in decisions(history))
        assert decisions(history), "what the budget held back is written down"


def test_a_block_stops_it(history) -> None:
    with history.connect() as connection:
        connection.execute(
            "insert into control.call_budgets (app, blocked_until, updated_at)"
            " values ('app', %s, now())",
            [NOW + timedelta(minutes=5)],
        )
    decided = plan_pass(history, [NEW_YORK], NOW, BudgetRules())
    assert "Meta blocks calls at present" in decided.summary()


def test_the_development_tier_s_hour_is_shared(history) -> None:
    with history.connect() as connection:
        connection.execute(
            "insert into control.call_counts (connection, minute, account_id, use_case, calls,"
            " wasted) values ('c', %s, '1', 'ads_insights', 80, 0)",
            [NOW - timedelta(minutes=10)],
        )
    assert plan_pass(history, [NEW_YORK], NOW, BudgetRules(calls_per_hour=180)).window is None
    later = NOW + timedelta(minutes=1)
    assert plan_pass(history, [NEW_YORK], later, BudgetRules(calls_per_hour=400)).window


# The schedule


def tick(instance, resources) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=NOW, resources=resources
    )
    data = refresh_changing_days.evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else dg.SkipReason(data.skip_message)


def test_a_tick_asks_for_one_run_of_the_chosen_days(history, instance, resources) -> None:
    request = tick(instance, resources)
    assert isinstance(request, dg.RunRequest)
    assert request.tags[REFRESH_TAG] == REFRESH_CHANGING
    assert request.tags["meta_ads/accounts"] == "1"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-19"
    with history.connect() as connection:
        days = refresh_decisions.chosen_days(connection, request.tags["meta_ads/sync_id"])
    assert min(days["1"]).isoformat() == request.tags["dagster/asset_partition_range_start"]
    assert tick(instance, resources).run_key == request.run_key


def test_it_waits_for_its_last_run_and_for_the_daily_one(
    history, instance, resources, add_run
) -> None:
    for kind in (REFRESH_CHANGING, REFRESH_RECENT):
        run_id = add_run(DagsterRunStatus.STARTED, {REFRESH_TAG: kind})
        assert run_id in tick(instance, resources).skip_message
        instance.delete_run(run_id)
    assert isinstance(tick(instance, resources), dg.RunRequest)


def test_without_accounts_there_is_nothing_to_do(database, instance, resources) -> None:
    assert tick(instance, resources).skip_message == "no day that may still change"
