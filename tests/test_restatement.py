"""A month of refreshes replayed on the simulator's clock, against what it said each time.

One account in New York; every simulated day today's numbers and the last 28 days are pulled by the
real client, and the simulator's truth is noted at the same instant. dbt builds a few times.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from benchmarks.replay import Replay, dbt_at
from meta_ads_pipeline.insights_tables import ACTION_LISTS
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.raw.pull_insights import consecutive_windows
from meta_ads_pipeline.run_tags import REFRESH_RECENT
from meta_ads_pipeline.windows import is_settled, local_today
from meta_graph_simulator.accounts.source import METRICS
from meta_graph_simulator.config import DEFAULT_TOKEN, SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer
from tests.conftest import copy_of_template
from tests.dbt_project.warehouse import Warehouse, failures, tables_behind

pytestmark = pytest.mark.slow

ZONE = "America/New_York"
FIRST = date(2026, 10, 10)  # clocks go back on 1 November
DAYS = 34
TWICE = (4, 19)
"""Simulated days on which the refresh is run twice."""

TABLES = tables_behind("restatement_curve", "restatements", "account_daily")
PRIORITIES = {
    "purchases": ("actions", ("omni_purchase", "purchase", "offsite_conversion.fb_pixel_purchase")),
    "revenue": (
        *("action_values",),
        ("omni_purchase", "purchase", "offsite_conversion.fb_pixel_purchase"),
    ),
    "leads": (
        "actions",
        ("lead", "onsite_conversion.lead_grouped", "offsite_conversion.fb_pixel_lead"),
    ),
}
DELIVERY = dict(zip(METRICS, ("spend", "impressions", "clicks", "link_clicks"), strict=True))

State = dict[str, dict[str, Decimal]]
"""By ad (or account): measure in the ledger's words to value."""


@dataclass
class Scenario:
    """What was pulled when, what the simulator said then, and what dbt made of it."""

    replay: Replay
    warehouse: Warehouse
    account_id: str
    truths: dict[date, list[tuple[datetime, State]]] = field(default_factory=dict)
    """By event date: every pull with the truth of its ads at that instant, in order."""
    totals: dict[date, list[tuple[datetime, State]]] = field(default_factory=dict)
    settled_at: dict[datetime, dict[date, bool]] = field(default_factory=dict)
    hour_windows: dict[date, int] = field(default_factory=dict)
    doubled: list[tuple[int, int]] = field(default_factory=list)

    def note(self, days: list[date]) -> None:
        """The truth of the dates that were just pulled."""
        control = self.replay.simulator.control
        for by_ad, into in ((True, self.truths), (False, self.totals)):
            rows = control.truth(self.account_id, days[0], days[-1], by_ad=by_ad)
            found: defaultdict[date, State] = defaultdict(dict)
            for row in rows:
                key = row["ad_id"] if by_ad else self.account_id
                found[date.fromisoformat(row["date"])][key] = _measures(row)
            for day in days:
                into.setdefault(day, []).append((self.replay.now, found[day]))

    def build(self, *window: str) -> None:
        """Run the models at the simulated instant and note what counts as settled."""
        with dbt_at(self.replay.now, os.environ):
            result = self.warehouse.dbt(
                *("build", "--select", *TABLES.split()),
                *("--exclude-resource-type", "unit_test", "test"),
                *window,
            )
        assert result.success, failures(result)
        self.settled_at[self.replay.now] = {
            row["event_date"]: row["is_settled"]
            for row in self.replay.rows("select event_date, is_settled from marts.account_daily")
        }

    def ledger(self, asset: str) -> list[dict[str, Any]]:
        """What was written down, oldest first."""
        return self.replay.rows(
            "select * from raw.insights_changes where asset = %s order by change_id", asset
        )


def _measures(row: Mapping[str, Any]) -> dict[str, Decimal]:
    found = {name: Decimal(row[key]) for key, name in DELIVERY.items()}
    for kind in ACTION_LISTS:
        for name, value in row[kind].items():
            found[f"{kind}:{name}"] = Decimal(value)
    return found


def _run(scenario: Scenario) -> None:
    replay = scenario.replay
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        if number:
            replay.set_clock(datetime(day.year, day.month, day.day, 13, 20, tzinfo=UTC))
            replay.refresh_recent(FIRST)
            today = local_today(ZONE, replay.now)
            oldest = max(FIRST, today - timedelta(days=28))
            days = [oldest + timedelta(days=n) for n in range((today - oldest).days)]
            scenario.note(days)
            scenario.hour_windows[day] = _hour_windows(replay)
            if number in TWICE:
                before = len(scenario.ledger("insights_daily"))
                calls = replay.refresh_recent(FIRST)
                scenario.doubled.append((before, len(scenario.ledger("insights_daily"))))
                replay.calls[day, REFRESH_RECENT] -= calls
        replay.set_clock(datetime(day.year, day.month, day.day, 23, 40, tzinfo=UTC))
        replay.refresh_today()
        scenario.note([day])
        if number == 1:
            replay.pull_entities([FIRST])
            scenario.build()
        elif number == 28:
            scenario.build("--event-time-start", str(FIRST), "--event-time-end", "2026-11-08")
        elif number == 29:  # the first date has been pulled once more, and settles
            scenario.build("--event-time-start", str(FIRST), "--event-time-end", "2026-11-09")
    replay.pull_entities([FIRST + timedelta(days=n) for n in range(DAYS)])
    scenario.build()


def _hour_windows(replay: Replay) -> int:
    rows = replay.rows(
        "select partition_date from control.slice_loads where sync_id = %s"
        " and asset = 'insights_hourly' and rows_fetched > 0",
        f"sync-{replay.pulls}",
    )
    return len(list(consecutive_windows([row["partition_date"] for row in rows])))


@pytest.fixture(scope="module")
def scenario(
    postgres_url: str, built_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scenario]:
    config = SimulatorConfig(
        accounts=1,
        ads=9,
        seed=3,
        restating=True,
        markets=(("USD", ZONE),),
        from_date=FIRST - timedelta(days=40),
    )
    with (
        copy_of_template(postgres_url, built_template) as database,
        SimulatorServer(config) as simulator,
        MetaAdsClient(access_token=DEFAULT_TOKEN, graph_url=simulator.url) as client,
    ):
        begin = datetime(FIRST.year, FIRST.month, FIRST.day, 23, 40, tzinfo=UTC)
        replay = Replay.begin(database, simulator, client, begin)
        warehouse = Warehouse.parsed(database, tmp_path_factory.mktemp("dbt"))
        scenario = Scenario(replay, warehouse, replay.accounts[0].account_id)
        _run(scenario)
        yield scenario


def _differences(
    pulls: dict[date, list[tuple[datetime, State]]],
) -> Counter[tuple[Any, ...]]:
    """What successive truths of each date say differently, as the ledger should have it.

    From the date's last state while it ran: what it gained before that is no restatement.
    """
    found: Counter[tuple[Any, ...]] = Counter()
    for day, states in pulls.items():
        for (before, old), (at, new) in pairwise(states):
            if at < _end(day):
                continue
            for entity in old.keys() | new.keys():
                was, now = old.get(entity, {}), new.get(entity, {})
                for measure in was.keys() | now.keys():
                    if was.get(measure) != now.get(measure):
                        row = (entity, measure, was.get(measure), now.get(measure), before, at)
                        found[day, *row] += 1
    return found


def _end(day: date) -> datetime:
    """The first moment after a date of the account."""
    return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(ZONE))


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


@pytest.mark.parametrize("asset", ["insights_daily", "account_totals"])
def test_the_ledger_holds_every_difference_once(scenario: Scenario, asset: str) -> None:
    expected = _differences(scenario.truths if asset == "insights_daily" else scenario.totals)
    found = Counter(
        (
            *(row["event_date"], row["entity_id"], row["measure"]),
            *(_number(row["old_value"]), _number(row["new_value"])),
            *(row["previous_pulled_at"], row["detected_at"]),
        )
        for row in scenario.ledger(asset)
    )
    assert found == expected
    assert max(found.values()) == 1
    # All that Meta does is among it: late conversions, and corrections both ways.
    spend = [(old, new) for _, _, name, old, new, *_ in found if name == "spend"]
    assert any(old and new and old < new for old, new in spend)
    assert any(old and new and old > new for old, new in spend)
    assert any(name == "actions:omni_purchase" for _, _, name, *_ in found)


def test_the_ledger_read_backwards_gives_every_state_since_the_day_ran(
    scenario: Scenario,
) -> None:
    now: defaultdict[date, State] = defaultdict(dict)
    for row in scenario.replay.rows("select * from raw.insights_daily"):
        measures = {name: Decimal(row[name]) for name in DELIVERY.values()}
        for kind in ACTION_LISTS:
            for item in row[kind] or []:
                measures[f"{kind}:{item['action_type']}"] = Decimal(item["value"])
        now[row["event_date"]][row["ad_id"]] = measures
    changes: defaultdict[tuple[date, datetime], list[dict[str, Any]]] = defaultdict(list)
    for row in scenario.ledger("insights_daily"):
        changes[row["event_date"], row["detected_at"]].append(row)
    states = 0
    for day, pulls in scenario.truths.items():
        state = now[day]
        for at, truth in reversed(pulls):
            assert state == truth, (day, at)
            states += 1
            if at < _end(day):  # the running date's last state
                break
            for row in changes[day, at]:
                measures = state.setdefault(row["entity_id"], {})
                if row["old_value"] is None:
                    del measures[row["measure"]]
                else:
                    measures[row["measure"]] = Decimal(row["old_value"])
                if not measures:
                    del state[row["entity_id"]]
    assert states > 28 * 6


def test_the_hours_end_as_their_days(scenario: Scenario) -> None:
    """No hour stays behind although unchanged days' hours were not read again."""
    rows = scenario.replay.rows(
        "select event_date, ad_id, sum(spend) as spend, sum(impressions) as impressions"
        " from raw.insights_hourly group by 1, 2"
    )
    hours = {(row["event_date"], row["ad_id"]): (row["spend"], row["impressions"]) for row in rows}
    days = {
        (day, ad): (measures["spend"], measures["impressions"])
        for day, pulls in scenario.truths.items()
        for ad, measures in pulls[-1][1].items()
        if measures["impressions"]
    }
    assert hours == days
    vanished = [row for row in scenario.ledger("insights_hourly") if row["new_value"] is None]
    assert {row["measure"] for row in vanished} >= {"spend", "impressions"}


def test_dates_are_settled_when_they_are(scenario: Scenario) -> None:
    assert len(scenario.settled_at) == 4
    for at, settled in scenario.settled_at.items():
        assert settled == {day: is_settled(day, ZONE, at) for day in settled}
    on_28, on_29 = list(scenario.settled_at.values())[1:3]
    assert (on_28[FIRST], on_29[FIRST]) == (False, True)
    assert sum(list(scenario.settled_at.values())[-1].values()) == DAYS - 29


def _after(scenario: Scenario, day: date, lag_days: int) -> State | None:
    """The truth at the last pull of the day that many days later, where the account is."""
    found = None
    for at, state in scenario.truths[day]:
        if (at.astimezone(ZoneInfo(ZONE)).date() - day).days == lag_days:
            found = state
    return found


def _total(state: State, measure: str, goals: Mapping[str, str]) -> Decimal:
    """An account's total of one measure of the facts, from its ads' truths."""
    total = Decimal(0)
    for ad, measures in state.items():
        name = goals.get(ad) if measure == "conversions" else measure
        if name in PRIORITIES:
            kind, types = PRIORITIES[name]
            present = (measures.get(f"{kind}:{each}") for each in types)
            total += next((value for value in present if value is not None), Decimal(0))
        elif name == "app_installs":
            total += measures.get("actions:omni_app_install", Decimal(0))
        elif name == "messaging_conversations":
            kind = "actions:onsite_conversion.messaging_conversation_started_7d"
            total += measures.get(kind, Decimal(0))
        elif name is not None:
            total += measures.get(name, Decimal(0))
    return total


def test_the_curve_is_the_truths_own(scenario: Scenario) -> None:
    goals = {
        row["ad_id"]: row["conversion"]
        for row in scenario.replay.rows(
            "select a.id as ad_id, g.conversion from raw.ads as a"
            " join intermediate.int_meta__adset_goals as s using (adset_id)"
            " join seeds.goal_conversions as g on g.goal = s.goal"
        )
    }
    settled = [FIRST + timedelta(days=n) for n in range(DAYS - 29)]
    rows = scenario.replay.rows("select * from marts.restatement_curve")
    assert {row["measure"] for row in rows} >= {"spend", "impressions", "purchases", "revenue"}
    for row in rows:
        speaking = [
            (state, scenario.truths[day][-1][1])
            for day in settled
            if (state := _after(scenario, day, row["lag_days"])) is not None
        ]
        value = sum(_total(state, row["measure"], goals) for state, _ in speaking)
        final = sum(_total(last, row["measure"], goals) for _, last in speaking)
        assert (row["value_after"], row["final_value"]) == (value, final), row
        if final:
            assert row["share_of_final"] == round(value / final, 6)
    by_days = {row["lag_days"]: row for row in rows if row["measure"] == "purchases"}
    assert sorted(by_days) == list(range(29)), "every day of the window was looked at"
    assert {row["dates"] for row in by_days.values()} == {len(settled)}
    assert by_days[1]["share_of_final"] < by_days[7]["share_of_final"] < 1
    assert by_days[28]["share_of_final"] == 1


def test_the_last_numbers_are_the_truth(scenario: Scenario) -> None:
    rows = scenario.replay.rows(
        "select event_date, spend, impressions, purchases, revenue, leads from marts.account_daily"
    )
    assert len(rows) == DAYS
    for row in rows:
        day = row.pop("event_date")
        state = scenario.truths[day][-1][1]
        for measure, value in row.items():
            assert (value or 0) == _total(state, measure, {}), (day, measure)
    # ... and of settled dates it is final: nothing is different a year later.
    replay = scenario.replay
    last, final_day = replay.now, FIRST + timedelta(days=DAYS - 30)
    replay.set_clock(last + timedelta(days=365))
    (truth,) = replay.simulator.control.truth(scenario.account_id, final_day, final_day)
    replay.set_clock(last)
    assert scenario.totals[final_day][-1][1] == {scenario.account_id: _measures(truth)}


def test_a_refresh_run_twice_doubles_nothing(scenario: Scenario) -> None:
    assert len(scenario.doubled) == len(TWICE)
    for before, after in scenario.doubled:
        assert before == after > 0
    again = scenario.replay.rows(
        "select account_id, event_date, asset, entity_id, event_hour, measure, detected_at"
        " from raw.insights_changes group by 1, 2, 3, 4, 5, 6, 7 having count(*) > 1"
    )
    assert again == []


def test_every_refresh_costs_what_it_must(
    scenario: Scenario, capsys: pytest.CaptureFixture[str]
) -> None:
    """The days and the totals in a call each, and one for each stretch of corrected hours."""
    calls = scenario.replay.calls
    recent = {day: calls[day, REFRESH_RECENT] for day in scenario.hour_windows}
    assert recent == {day: 2 + windows for day, windows in scenario.hour_windows.items()}
    with capsys.disabled():
        each = ", ".join(str(count) for count in recent.values())
        print(f"\ncalls of each day's refresh of {ZONE}: {each}")
