"""Ten ways to get the numbers wrong, each planted on an account-day of its own, and what sees it.

Some are planted at the API, some between the client and the loader, some in the landed rows as a
buggy loader would have written them. All dates are settled: not a cent is let through. Everything
is pulled once with the faults and once after they are mended; dbt builds twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.quality.catalogue import ENTITIES, RULES
from meta_ads_pipeline.quality.gate import close_gate
from meta_ads_pipeline.quality.runner import run_check
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.windows import DateWindow
from meta_graph_simulator.config import DEFAULT_TOKEN, SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer
from tests.conftest import TEST_MARKETS

from .faulty_world import (
    Plant,
    World,
    by_a_hundred,
    level_fault,
    misread,
    miswritten,
    restated_but_read_in_part,
    second_page_lost,
    through_binary_cents,
)
from .warehouse import Warehouse

pytestmark = pytest.mark.slow

FIRST = date(2026, 10, 1)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


TWICE = "actions = actions || actions"
BOUGHT = (
    "exists (select from jsonb_array_elements(actions) as action"
    " where action ->> 'action_type' = 'omni_purchase')"
)
DOUBLED = ", ".join(f"{name} = 2 * {name}" for name in ("spend", "impressions", "clicks"))


RECONCILIATION = "marts/reconciliation reconciliation"


@dataclass(frozen=True)
class Fault:
    """A planted fault, the check that must see it, and what it must say."""

    name: str
    plant: Plant
    caught_by: str
    says: str
    currency: str = "EUR"


FAULTS = (
    Fault(
        "a dropped page",
        misread("insights_hourly", second_page_lost),
        RECONCILIATION,
        "spend: hours are -",
    ),
    Fault(
        "a doubled page",
        miswritten(
            f"update raw.insights_daily set {DOUBLED} where {{where}} and ad_id >="
            " (select percentile_disc(0.5) within group (order by ad_id)"
            " from raw.insights_daily where {where})"
        ),
        RECONCILIATION,
        "spend: ad days are ",
    ),
    Fault(
        "a lost ad",
        level_fault("ad", "drop", one_ad=True),
        RECONCILIATION,
        "impressions: hours are -",
    ),
    Fault(
        "a shifted hour",
        miswritten(
            "update raw.insights_hourly set event_at = event_at + interval '1 hour' where {where}"
        ),
        "raw/insights_hourly schema",
        "event_at is the first instant of the date and hour in the account's timezone",
    ),
    Fault(
        "a shifted hour across midnight",
        miswritten(
            "update raw.insights_hourly set event_date = event_date + 20 where {where}"
            " and event_hour = (select max(event_hour) from raw.insights_hourly where {where})"
        ),
        RECONCILIATION,
        "impressions: hours are -",
    ),
    Fault(
        "a float, cents off",
        misread("insights_hourly", through_binary_cents),
        RECONCILIATION,
        "spend: hours are -",
    ),
    Fault(
        "a float, its tail left",
        miswritten("update raw.insights_daily set spend = spend + 4e-17 where {where}"),
        "raw/insights_daily schema",
        "spend has at most two decimals: more are the trace of a binary float",
    ),
    Fault(
        "a wrong offset currency",
        misread("insights_hourly", by_a_hundred),
        RECONCILIATION,
        "spend: hours are -",
        currency="JPY",
    ),
    Fault(
        "a wrong offset currency in all three pulls",
        lambda world, account, day: world.pull(account, [day], "faulty", change=by_a_hundred),
        "raw/account_totals schema",
        "spend is whole in a currency without decimals",
        currency="JPY",
    ),
    Fault(
        "a swallowed empty day",
        miswritten("delete from raw.insights_hourly where {where}"),
        RECONCILIATION,
        "impressions: hours are -",
    ),
    Fault(
        "a day that was never read",
        lambda world, account, day: world.tamper(
            "with gone as (delete from control.slices where account_id || partition_date in"
            " (select account_id || event_date from raw.account_totals where {where})),"
            " rows as (delete from raw.insights_hourly where {where}),"
            " days as (delete from raw.insights_daily where {where})"
            " delete from raw.account_totals where {where}",
            account,
            day,
        ),
        "raw/insights_hourly completeness",
        "not pulled: never pulled",
    ),
    Fault(
        "a missing level",
        miswritten("delete from raw.account_totals where {where}"),
        RECONCILIATION,
        "spend: hours are ",
    ),
    Fault(
        "a missing level, never pulled",
        lambda world, account, day: world.tamper(
            "with gone as (delete from control.slices where asset = 'account_totals'"
            " and account_id || partition_date in"
            " (select account_id || event_date from raw.account_totals where {where}))"
            " delete from raw.account_totals where {where}",
            account,
            day,
        ),
        RECONCILIATION,
        "not pulled: account_totals",
    ),
    Fault(
        "a doubled conversion",
        miswritten(f"update raw.insights_daily set {TWICE} where {{where}} and {BOUGHT}"),
        RECONCILIATION,
        "purchases: ad days are ",
    ),
    Fault(
        "a doubled conversion in both pulls",
        miswritten(
            f"with totals as (update raw.account_totals set {TWICE} where {{where}} and {BOUGHT})"
            f" update raw.insights_daily set {TWICE} where {{where}} and {BOUGHT}"
        ),
        "raw/insights_daily duplicates",
        "each action type stands once in actions",
    ),
    Fault(
        "a page landed twice",
        miswritten(
            "insert into raw.insights_hourly select (jsonb_populate_record(hours,"
            " jsonb_build_object('ad_id', hours.ad_id || '0'))).*"
            " from raw.insights_hourly as hours where {where} limit 9"
        ),
        "raw/insights_hourly row_counts",
        "the slice holds as many rows as its load wrote",
    ),
    Fault("a stale slice", restated_but_read_in_part, RECONCILIATION, "spend: hours are -"),
)
SOUND = date(2026, 10, 1) + timedelta(days=len(FAULTS))
"""A day on which Meta sends every row of the ads twice: no fault, for a row is one row."""


def day_of(fault: Fault) -> date:
    """The day that the fault is planted on."""
    return FIRST + timedelta(days=FAULTS.index(fault))


@dataclass
class Seen:
    """What checks failed with what message, and what the facts held, by account-day."""

    caught: dict[tuple[str, date], dict[str, str]] = field(default_factory=dict)
    spend: dict[tuple[str, date], Decimal] = field(default_factory=dict)


def look(world: World, run_id: str) -> Seen:
    """The checks of the landed rows, the marts, and the other checks: as a run does it."""
    warehouse, seen = world.warehouse, Seen()
    database, accounts = warehouse.database, tuple(world.accounts.values())
    scope = CheckScope(DateWindow(FIRST, SOUND), accounts, NOW, run_id)
    close_gate(database, scope)
    warehouse.build(FIRST, SOUND, tests=False)
    for rule in RULES:
        for asset in rule.assets:
            if rule.name in ("completeness", "reconciliation", "levels") and asset not in ENTITIES:
                run_check(database, rule, asset, scope)
    for row in warehouse.rows(
        "select account_id, event_date, asset || ' ' || check_name as check, status, message"
        " from marts.check_results where event_date is not null"
    ):
        found = seen.caught.setdefault((row["account_id"], row["event_date"]), {})
        if row["status"] != "passed":
            found[row["check"]] = row["message"]
    for row in warehouse.rows(
        "select account_id, event_date, sum(spend) as spend from marts.metric_facts"
        " where event_date between %s and %s group by 1, 2",
        *(FIRST, SOUND),
    ):
        seen.spend[row["account_id"], row["event_date"]] = row["spend"]
    return seen


@dataclass
class Outcome:
    """Both looks, and what the API says, by account-day."""

    accounts: Mapping[str, Account]
    faulty: Seen
    mended: Seen
    truth: Mapping[tuple[str, date], Decimal]


@pytest.fixture(scope="module")
def outcome(built_warehouse: Warehouse) -> Iterator[Outcome]:
    """All faults planted, looked at, mended and looked at again."""
    built_warehouse.empty()
    config = SimulatorConfig(
        accounts=3, ads=8, markets=TEST_MARKETS, job_seconds=0.1, start_time=NOW
    )
    dates = [FIRST + timedelta(days=offset) for offset in range(len(FAULTS) + 1)]
    with (
        SimulatorServer(config) as server,
        MetaAdsClient(access_token=DEFAULT_TOKEN, graph_url=server.url) as client,
    ):
        world = World(built_warehouse, server, client)
        world.land_accounts()
        accounts = [world.accounts[currency] for currency in ("EUR", "JPY")]
        world.accounts = {account.currency: account for account in accounts}
        for account in accounts:
            world.pull(account, dates, "first")
            for kind in ("campaign", "adset", "ad"):
                context = PullContext("first", "run")
                pull_entities(built_warehouse.database, client, account, kind, dates, context)
        for fault in FAULTS:
            fault.plant(world, world.accounts[fault.currency], day_of(fault))
        level_fault("ad", "repeat")(world, world.accounts["EUR"], SOUND)
        faulty = look(world, "faulty")

        server.control.reset("data")
        for account in accounts:
            world.pull(account, dates, "again")
        mended = look(world, "mended")
        truth = {
            (account.account_id, date.fromisoformat(row["date"])): Decimal(row["spend"])
            for account in accounts
            for row in server.control.truth(account.account_id, dates[0], dates[-1])
        }
        yield Outcome(world.accounts, faulty, mended, truth)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_caught_held_and_mended(outcome: Outcome, fault: Fault) -> None:
    place = outcome.accounts[fault.currency].account_id, day_of(fault)
    assert fault.says in outcome.faulty.caught[place].get(fault.caught_by, "")
    assert outcome.faulty.spend.get(place) is None
    assert outcome.mended.caught[place] == {}
    assert outcome.mended.spend[place] == outcome.truth[place] > 0


def testnothing_else_is_called_wrong(outcome: Outcome) -> None:
    """An alarm on a sound account-day would teach people to look away."""
    planted = {(outcome.accounts[fault.currency].account_id, day_of(fault)) for fault in FAULTS}
    sound = outcome.faulty.caught.keys() - planted
    assert len(sound) == 2 * (len(FAULTS) + 1) - len(planted)
    for place in sound:
        assert outcome.faulty.caught[place] == {}, place
        assert outcome.faulty.spend[place] == outcome.truth[place], place


def test_a_row_sent_twice_lands_once(outcome: Outcome) -> None:
    place = outcome.accounts["EUR"].account_id, SOUND
    assert outcome.faulty.caught[place] == {}
    assert outcome.faulty.spend[place] == outcome.truth[place]
