"""Episodes of a run's dates are those of all history, however long ago they began."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest

from .warehouse import Warehouse

FIRST = date(2026, 6, 1)
DAYS = 100
AHEAD = 56
"""Days after a run's dates that are judged with them."""
ENTITIES = [("account", "1"), ("campaign", "21"), ("campaign", "22")]
DAYS_TABLE = "int_meta__anomaly_days"
BUDGETS_TABLE = "int_meta__anomaly_budgets"
HOURS_TABLE = "int_meta__anomaly_hours"
MODEL = "int_meta__anomaly_episodes"
Point = tuple[str, list[Any]]


def at(day: date, hour: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)


def day_point(level: str, entity_id: str, day: date, log_ratio: float) -> Point:
    columns = (
        f"{DAYS_TABLE} (level, account_id, external_entity_id, event_date, starts_at, ends_at,"
        " measure, kind, value, expected, score, log_ratio)"
    )
    kind = "spike" if log_ratio > 0 else "drop"
    times = [day, at(day), at(day, 24)]
    return columns, [level, "1", entity_id, *times, "spend", kind, 5, 1, 9 * log_ratio, log_ratio]


def hour_point(level: str, entity_id: str, hour: int, measure: str, score: float) -> Point:
    columns = (
        f"{HOURS_TABLE} (level, account_id, external_entity_id, event_date, event_hour, starts_at,"
        " ends_at, measure, kind, value, expected, weight, score, log_ratio)"
    )
    kind = "spike" if score > 0 else "drop"
    day = FIRST + timedelta(days=hour // 24)
    times = [day, hour % 24, at(FIRST, hour), at(FIRST, hour + 1)]
    return columns, [level, "1", entity_id, *times, measure, kind, 5, 1, 3, score, score / 5]


def week_point(entity_id: str, saturday: date) -> Point:
    columns = (
        f"{BUDGETS_TABLE} (level, account_id, external_entity_id, event_date, starts_at, ends_at,"
        " period, value, budget, allowed, log_ratio)"
    )
    times = [saturday, at(saturday - timedelta(days=6)), at(saturday, 24)]
    return columns, ["campaign", "1", entity_id, *times, "week", 9, 1, 7, 0.25]


def stretches(random: Random) -> Iterator[Point]:
    """Days, hours across midnight and weeks in a row, of each entity."""
    for level, entity_id in ENTITIES:
        for _ in range(6):
            first = FIRST + timedelta(days=random.randrange(DAYS))
            log_ratio = random.choice([0.8, 1.0, -0.9])
            for later in range(random.choice([1, 2, 9, 25])):
                yield day_point(level, entity_id, first + timedelta(days=later), log_ratio)
            start, score = random.randrange(24 * DAYS), random.choice([4.5, 7, -5])
            for hour in range(start, start + random.choice([1, 3, 20, 70])):
                yield hour_point(level, entity_id, hour, random.choice(["clicks", "ctr"]), score)
        if level == "campaign":
            saturday = FIRST + timedelta(days=5 + 7 * random.randrange(10))
            for later in range(random.choice([1, 4])):
                yield week_point(entity_id, saturday + timedelta(days=7 * later))


def put(warehouse: Warehouse, points: Iterable[Point]) -> None:
    with warehouse.database.connect() as connection:
        for into, values in points:
            places = ", ".join(["%s"] * len(values))
            statement = f"insert into intermediate.{into} values ({places}) on conflict do nothing"
            connection.execute(statement.encode(), values)


def episodes(warehouse: Warehouse, start: date, end: date) -> list[dict[str, Any]]:
    """Those that touch the dates of a run, in full."""
    return warehouse.rows(
        f"select * from intermediate.{MODEL}"
        " where last_date >= %s and event_date <= %s order by anomaly_key",
        start - timedelta(days=1),
        end + timedelta(days=1 + AHEAD),
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_runs_episodes_are_those_of_all_history(warehouse: Warehouse, seed: int) -> None:
    """The dates' numbers changed: what touches them is as if all had been built at once."""
    random = Random(seed)
    put(warehouse, stretches(random))
    warehouse.build(tests=False, models=MODEL)
    assert warehouse.value(f"select max(stretch) from intermediate.{MODEL}") > 8
    for back in (3, 45):
        start = FIRST + timedelta(days=DAYS - back)
        end = start + timedelta(days=1)
        with warehouse.database.connect() as connection:
            for table in (DAYS_TABLE, BUDGETS_TABLE, HOURS_TABLE):
                connection.execute(
                    f"delete from intermediate.{table} where event_date between %s and %s"
                    " and mod(hashtext(event_date::text), 3) = 0".encode(),
                    [start, end + timedelta(days=AHEAD)],
                )
        put(warehouse, (each for each in stretches(random) if each[1][3] >= start))
        warehouse.build(start, end, tests=False, models=MODEL)
        built = episodes(warehouse, start, end)
        warehouse.execute(f"truncate intermediate.{MODEL}")
        warehouse.build(tests=False, models=MODEL)
        assert built == episodes(warehouse, start, end)
        assert built


def test_an_episode_that_goes_on_keeps_its_first_day(warehouse: Warehouse) -> None:
    """Built a day at a time; the second build of a day changes nothing."""
    days = [FIRST + timedelta(days=later) for later in range(12)]
    for day in days:
        put(warehouse, [day_point("account", "1", day, 1)])
        # Two runs were killed after the days: the next one tells of them, too.
        if day not in days[4:6]:
            warehouse.build(day, day, tests=False, models=MODEL)
    told = f"select anomaly_key, last_date, stretch, ctid from intermediate.{MODEL}"
    (row,) = warehouse.rows(told)
    key = f"meta:account:1:{FIRST}"
    assert (row["anomaly_key"], row["last_date"], row["stretch"]) == (key, days[-1], 12)
    warehouse.build(days[-1], days[-1], tests=False, models=MODEL)
    assert warehouse.rows(told) == [row]


def test_what_a_campaign_shares_with_its_account_is_told_once(warehouse: Warehouse) -> None:
    """Though the account began before the campaign, and ended before the run's dates."""
    days = [FIRST + timedelta(days=later) for later in range(20)]
    put(
        warehouse, (day_point("account", "1", day, 2 if day == FIRST else 0.7) for day in days[:11])
    )
    put(warehouse, (day_point("campaign", "21", day, 1) for day in days[10:]))
    warehouse.build(tests=False, models=MODEL)
    told = f"select anomaly_key from intermediate.{MODEL}"
    assert warehouse.rows(told) == [{"anomaly_key": f"meta:account:1:{FIRST}"}]
    warehouse.build(days[-1], days[-1], tests=False, models=MODEL)
    assert warehouse.rows(told) == [{"anomaly_key": f"meta:account:1:{FIRST}"}]
