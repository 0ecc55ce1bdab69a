"""marts.reach: what Meta counted, within the bounds of its parts; `sum` of it is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import psycopg
import pytest

from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_ads_pipeline.raw.pull_reach import pull_reach
from meta_graph_simulator.http.server import SimulatorServer

from .warehouse import AdDay, Warehouse

COLUMNS = ("reach", "frequency", "unique_clicks", "unique_link_clicks")
DAY = date(2026, 11, 19)
SELECTED = ("+reach", "dim_adsets", "reach_is_within_bounds")


def build(warehouse: Warehouse) -> list[tuple[str, str, int | None]]:
    """Build the mart alone, with its tests; name, status and failing rows of each node."""
    result = warehouse.dbt(
        *("build", "--select", *SELECTED, "--exclude-resource-type", "unit_test", "seed")
    )
    assert result.exception is None, result.exception
    return [(each.node.name, str(each.status), each.failures) for each in result.result]


@pytest.fixture
def pulled(
    warehouse: Warehouse, client: MetaAdsClient, simulator: SimulatorServer
) -> tuple[Warehouse, str]:
    """Five weeks of one simulated account, pulled and built."""
    account = pull_ad_accounts(warehouse.database, client, ctx=PullContext("accounts", "run"))[0]
    today = simulator.control.now().astimezone(ZoneInfo(account.timezone)).date()
    dates = [today - timedelta(days=back) for back in range(1, 36)]
    context = PullContext("sync", "run")
    pull_reach(warehouse.database, client, account, dates, context)
    for asset in ("insights_daily", "account_totals"):
        pull_insights(warehouse.database, client, account, asset, dates, context)
    for kind in ("ad", "adset", "campaign"):
        pull_entities(warehouse.database, client, account, kind, dates, context)  # type: ignore[arg-type]
    return warehouse, account.account_id


def test_the_whole_is_between_its_largest_part_and_their_sum(pulled: tuple[Warehouse, str]) -> None:
    warehouse, account_id = pulled
    outcomes = {name: (status, failures) for name, status, failures in build(warehouse)}
    assert outcomes["reach_is_within_bounds"] == ("pass", 0)
    assert not {status for status, _ in outcomes.values()} & {"error", "fail"}
    (week,) = warehouse.rows(
        "with week as (select * from marts.reach where level = 'account' and period = '7d'"
        " order by period_end desc limit 1)"
        " select week.reach, week.frequency, week.impressions, max(d.reach) as largest,"
        " sum(d.reach::bigint) as together, sum(d.impressions) as impressions_of_days"
        " from week join marts.reach as d on d.level = 'account' and d.period = 'day'"
        " and d.event_date between week.period_start and week.period_end group by 1, 2, 3"
    )
    assert week["largest"] < week["reach"] < week["together"]
    assert week["impressions"] == week["impressions_of_days"]
    assert round(week["frequency"], 2) == round(Decimal(week["impressions"]) / week["reach"], 2)
    # Each planted untruth is seen.
    for change in (
        "reach = reach * 10 where level = 'campaign' and period = '7d'",
        "reach = reach / 10 where level = 'account' and period = 'month'",
        "frequency = frequency * 2 where level = 'adset' and period = 'day'",
    ):
        warehouse.execute(f"update marts.reach set {change}")
        (outcome,) = [each for each in run_test(warehouse) if each[0] == "reach_is_within_bounds"]
        assert outcome[1] == "warn", change
        warehouse.execute("truncate marts.reach")
        build(warehouse)
    assert warehouse.value("select count(distinct account_id) from marts.reach") == 1
    assert warehouse.value("select min(account_id) from marts.reach") == account_id


def run_test(warehouse: Warehouse) -> Iterator[tuple[str, str]]:
    result = warehouse.dbt("test", "--select", "reach_is_within_bounds")
    assert result.exception is None
    return ((each.node.name, str(each.status)) for each in result.result)


# Nobody sums them: not an analyst, not a model.


def test_sum_is_refused_and_everything_else_is_not(warehouse: Warehouse) -> None:
    warehouse.account()
    land(warehouse, DAY, "7d", DAY - timedelta(days=6), reach=100, unique_clicks=7)
    land(warehouse, DAY - timedelta(days=7), "7d", DAY - timedelta(days=13), reach=80)
    build(warehouse)
    for column in COLUMNS:
        for expression in (f"sum({column})", f"sum({column}) over (order by event_date)"):
            with pytest.raises(psycopg.errors.RaiseException, match="cannot be summed"):
                warehouse.rows(f"select {expression} from marts.reach")
        with pytest.raises(psycopg.errors.RaiseException, match="cannot be summed"):
            warehouse.rows(f"select sum(x) from (select {column} as x from marts.reach) as mine")
    assert warehouse.rows(
        "select max(reach) as most, count(unique_clicks) as known, sum(impressions) as shown,"
        " sum(reach::bigint) as insisted, min(reach * 2) as twice from marts.reach"
        " where reach > 10"
    ) == [{"most": 100, "known": 1, "shown": 400, "insisted": 180, "twice": 160}]
    with warehouse.database.connect() as connection:
        described = connection.execute("select reach, frequency from marts.reach").description
    assert [column.type_code for column in described or ()] == [20, 1700], "bigint, numeric"


def test_no_model_adds_up_what_is_not_additive(warehouse: Warehouse) -> None:
    compiled = warehouse.dbt("compile", "--select", "resource_type:model")
    assert compiled.success, compiled.exception
    nodes = {
        each.node.name: each.node for each in compiled.result if each.node.resource_type == "model"
    }
    marked = {
        name
        for name, column in nodes["reach"].columns.items()
        if column.config.meta.get("additive") is False
    }
    assert marked == set(COLUMNS)
    for name, node in nodes.items():
        found = [text for text in summed(node.compiled_code) if words(text) & marked]
        assert not found, f"{name} adds up {found}"
        if name != "reach" and node.config.schema == "marts":
            assert not marked & set(node.columns), f"{name}: only marts.reach has such columns"


def test_the_search_for_sums_finds_them() -> None:
    sql = "select SUM( coalesce(t.reach, 0) ) + avg (frequency), max(reach), sum(spend) from t"
    assert [words(text) & set(COLUMNS) for text in summed(sql)] == [{"reach"}, {"frequency"}, set()]


def summed(sql: str) -> Iterator[str]:
    """What stands in the parentheses of every sum and average."""
    for match in re.finditer(r"\b(sum|avg)\s*\(", sql, flags=re.IGNORECASE):
        depth = 1
        for place in range(match.end(), len(sql)):
            depth += {"(": 1, ")": -1}.get(sql[place], 0)
            if depth == 0:
                yield sql[match.end() : place]
                break


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


# What becomes a row.


def land(
    warehouse: Warehouse,
    end: date,
    period: str,
    start: date,
    *,
    reach: int,
    unique_clicks: int | None = None,
    level: str = "account",
    pulled_at: datetime = datetime(2026, 11, 21, 3, tzinfo=UTC),
) -> None:
    """Land one row of reach, shown twice to everybody, with its slice."""
    with warehouse.database.connect() as connection:
        connection.execute(
            "insert into raw.insights_reach (event_date, account_id, level, entity_id, period,"
            " period_start, period_end, timezone, currency, reach, frequency, impressions,"
            " unique_clicks, api_version, pulled_at) values (%(end)s, '1', %(level)s, '1',"
            " %(period)s, %(start)s, %(end)s, 'Europe/Berlin', 'EUR', %(reach)s, 2,"
            " 2 * %(reach)s + 20, %(clicks)s, 'v26.0', %(at)s)",
            {
                "end": end,
                "level": level,
                "period": period,
                "start": start,
                "reach": reach,
                "clicks": unique_clicks,
                "at": pulled_at,
            },
        )
        connection.execute(
            "insert into control.slices (account_id, partition_date, asset, status, pulled_at)"
            " values ('1', %s, 'insights_reach', 'done', %s)"
            " on conflict (account_id, partition_date, asset) do nothing",
            [end, pulled_at],
        )


def test_the_control_total_stands_in_for_the_accounts_day(warehouse: Warehouse) -> None:
    warehouse.account()
    for day in (DAY, DAY - timedelta(days=1)):
        warehouse.pull(day, AdDay("1", {9: ("5.00", 300, 3)}))
    warehouse.execute("update raw.account_totals set reach = 150, frequency = 2")
    land(warehouse, DAY, "day", DAY, reach=140, unique_clicks=3)
    build(warehouse)
    rows = warehouse.rows(
        "select event_date, reach, unique_clicks, omitted from marts.reach order by event_date"
    )
    assert [tuple(row.values()) for row in rows] == [
        (DAY - timedelta(days=1), 150, None, "unique counts: the control total has none"),
        (DAY, 140, 3, None),
    ]


def test_only_what_is_pulled_again_after_28_days_is_settled(warehouse: Warehouse) -> None:
    """A Wednesday's trailing week was asked for once; a Sunday's again with its date."""
    warehouse.account()
    sunday, wednesday = date(2026, 10, 18), date(2026, 10, 14)
    late = datetime(2026, 11, 15, 23, 30, tzinfo=UTC)  # the 16th in Berlin: 29 days later
    for end, period, start in (
        (sunday, "7d", sunday - timedelta(days=6)),
        (sunday, "month", sunday.replace(day=1)),
        (wednesday, "7d", wednesday - timedelta(days=6)),
        (wednesday, "day", wednesday),
        (date(2026, 9, 30), "month", date(2026, 9, 1)),
        (sunday + timedelta(days=1), "day", sunday + timedelta(days=1)),
    ):
        land(warehouse, end, period, start, reach=10, pulled_at=late)
    build(warehouse)
    assert {
        (row["period_end"], row["period"])
        for row in warehouse.rows("select * from marts.reach where is_settled")
    } == {(sunday, "7d"), (wednesday, "day"), (date(2026, 9, 30), "month")}
