"""One date through dbt beside a history that grows, and all of it beside a hand-written table.

``python -m benchmarks.history --facts 100000 1000000 10000000 30000000``. Forty accounts of 25 ads
deliver in every hour, now and then far more than usual; what was landed of them is written by SQL.
``meta-ads rebuild`` fills the empty marts of it, then builds all of it again and finds it equal.
Then the same command for one date. The hand-written table is ``create table as`` of the same facts
from the same landed rows, with the same indexes, and nothing else: no rollups, no dimensions, no
tests.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.mart_queries import TARGET_MS, milliseconds, objects, queries
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres

FACTS_A_DAY = 25_000
SIZES = (100_000, 1_000_000)
MOST_OF_SMALLEST = 1.3
MOST_OF_HAND_WRITTEN = 2.0

_PULLED = "'v25.0', now()"

# Unusual are each account's every 23rd day and a few hours of each campaign's every 17th.
_DAY_NUMBER = "(days.day::date - date '2020-01-01')"
_FACTOR = f"""
    case
        when mod({_DAY_NUMBER} + 7 * account_id::bigint, 23) = 0 then 3
        when hours.hour between 9 and 12 and mod({_DAY_NUMBER} + campaign_id::bigint, 17) = 0 then 6
        else 1
    end
"""

LANDED = f"""
select control.ensure_month_partitions(name, %(start)s, %(end)s)
from unnest(array['raw.insights_hourly', 'raw.insights_daily']) as name;

insert into raw.insights_hourly
select days.day::date, account_id, campaign_id, adset_id, id, hours.hour,
    days.day + hours.hour * interval '1 hour', null, 'UTC', 'EUR', 1.25 * factor,
    (100 + hours.hour) * factor, 3 * factor, 2 * factor, null, {_PULLED}
from generate_series(%(start)s::timestamptz, %(end)s, interval '1 day') as days (day)
cross join raw.ads cross join generate_series(0, 23) as hours (hour)
cross join lateral (select {_FACTOR} as factor) as factors;

insert into raw.insights_daily (
    event_date, account_id, campaign_id, adset_id, ad_id, timezone, currency, spend, impressions,
    clicks, link_clicks, actions, action_values, api_version, pulled_at
)
select event_date, account_id, campaign_id, adset_id, ad_id, 'UTC', 'EUR', sum(spend),
    sum(impressions), sum(clicks), sum(link_clicks),
    '[{{"action_type": "omni_purchase", "value": "2"}}]',
    '[{{"action_type": "omni_purchase", "value": "59.90"}}]', {_PULLED}
from raw.insights_hourly group by event_date, account_id, campaign_id, adset_id, ad_id;

insert into raw.account_totals (
    event_date, account_id, timezone, currency, spend, impressions, clicks, link_clicks, actions,
    action_values, api_version, pulled_at
)
select event_date, account_id, 'UTC', 'EUR', sum(spend), sum(impressions), sum(clicks),
    sum(link_clicks), '[{{"action_type": "omni_purchase", "value": "50"}}]',
    '[{{"action_type": "omni_purchase", "value": "1497.50"}}]', {_PULLED}
from raw.insights_daily group by event_date, account_id;

insert into control.slices (account_id, partition_date, asset, status, pulled_at, finished_at)
select account_id, event_date, asset, 'done', now(), now()
from raw.account_totals
cross join unnest(array['insights_hourly', 'insights_daily', 'account_totals']) as asset;
"""

HAND_WRITTEN = """
create table public.facts as
select
    hours.ad_id || '-' || to_char(event_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
        as natural_key,
    accounts.workspace_id, 'meta' as provider, hours.account_id, 'ad' as level,
    hours.ad_id as external_entity_id, md5('meta:ad:' || hours.ad_id)::uuid as entity_id,
    campaign_id, adset_id, ad_id, 'hour' as grain, event_at, event_date, event_hour,
    hours.timezone, hours.currency, 'sales' as goal, spend, impressions, clicks, link_clicks,
    null::numeric as purchases, null::numeric as revenue, null::numeric as leads,
    null::numeric as conversions, event_date < current_date - 28 as is_settled,
    'insights' as source, pulled_at
from raw.insights_hourly as hours inner join control.ad_accounts as accounts using (account_id)
union all
select
    days.ad_id || '-' || event_date, accounts.workspace_id, 'meta', days.account_id, 'ad',
    days.ad_id, md5('meta:ad:' || days.ad_id)::uuid, campaign_id, adset_id, ad_id, 'day',
    event_date::timestamp at time zone days.timezone, event_date, null, days.timezone,
    days.currency, 'sales', null, null, null, null, counted.purchases, valued.revenue, null,
    counted.purchases, event_date < current_date - 28, 'insights', pulled_at
from raw.insights_daily as days inner join control.ad_accounts as accounts using (account_id)
cross join lateral (
    select sum((action ->> 'value')::numeric) as purchases
    from jsonb_array_elements(actions) as action where action ->> 'action_type' = 'omni_purchase'
) as counted
cross join lateral (
    select sum((action ->> 'value')::numeric) as revenue
    from jsonb_array_elements(action_values) as action
    where action ->> 'action_type' = 'omni_purchase'
) as valued;
"""

_SAME_INDEXES = """
select regexp_replace(indexdef, 'INDEX \\S+ ON (ONLY )?\\S+', 'INDEX ON public.facts') as made
from pg_indexes where schemaname = 'marts' and tablename = 'metric_facts'
"""


@dataclass
class Measured:
    """Seconds at one size; ``slow_queries``: how many of the marts' pages take over the target.

    ``facts_again`` is None where all was built once.
    """

    facts: int
    filled: float
    facts_filled: float
    facts_again: float | None
    hand_written: float
    one_date: float
    one_date_dbt: float
    slow_queries: int
    slowest_ms: float

    def line(self) -> str:
        """One line of figures."""
        again = (
            ""
            if self.facts_again is None
            else f", built again and found equal {self.facts_again:.1f} s"
        )
        return (
            f"{self.facts:>12,} facts: one date {self.one_date_dbt:5.1f} s in dbt"
            f" ({self.one_date:.1f} with start and end); all marts filled {self.filled:6.1f} s,"
            f" metric_facts alone {self.facts_filled:.1f} s,"
            f" {self.facts_filled / self.hand_written:.1f} x a hand-written table's"
            f" {self.hand_written:.1f} s{again};"
            f" {self.slow_queries} queries of the marts' pages over {TARGET_MS} ms, the slowest"
            f" {self.slowest_ms:.0f} ms"
        )


def measure(facts: int, *, once: bool = False) -> Measured:
    """Land so many facts' rows in a database of its own, and build; ``once``: not all again."""
    end = datetime.now(UTC).date() - timedelta(days=1)
    start = end - timedelta(days=facts // FACTS_A_DAY - 1)
    with tempfile.TemporaryDirectory(prefix="history-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        server = EmbeddedPostgres(home)
        database = Database(server.start(), server=server)
        try:
            database.migrate()
            environment = {
                **os.environ,
                "META_ADS_HOME": str(home),
                "META_ADS_DATABASE_URL": str(database.url),
            }
            _land(database, start, end)
            _rebuild(environment, end if once else start, end)
            *filling, last = _commands(home)
            _check(database, facts)
            hand_written = _hand_written(database)
            _rebuild(environment, end, end)  # its plans and pages are warm
            one_date = _rebuild(environment, end, end)
            one_date_dbt = _elapsed(_commands(home)[-1])
            slow, slowest = _queries(database)
        finally:
            database.dispose()
            server.release()
    return Measured(
        facts=facts,
        filled=sum(map(_elapsed, filling)),
        facts_filled=_seconds_of_facts(filling[0]),
        facts_again=None if once else _seconds_of_facts(last),
        hand_written=hand_written,
        one_date=one_date,
        one_date_dbt=one_date_dbt,
        slow_queries=slow,
        slowest_ms=slowest,
    )


def _land(database: Database, start: date, end: date) -> None:
    days = (end - start).days + 1
    with database.connect() as connection:
        connection.execute(objects(days).encode())
        for statement in LANDED.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode(), {"start": start, "end": end})
    with database.connect(autocommit=True) as connection:
        connection.execute("vacuum analyze")


def _rebuild(environment: Mapping[str, str], start: date, end: date) -> float:
    command = ["rebuild", "--all", "--start", start.isoformat(), "--end", end.isoformat()]
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "meta_ads_pipeline.cli", *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the rebuild failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return time.perf_counter() - begun


def _commands(home: Path) -> list[Mapping[str, Any]]:
    """What dbt wrote of each of its commands, the earliest first."""
    written = (home / "dbt").glob("*/run_results.json")
    in_order = sorted(written, key=lambda path: path.stat().st_mtime)
    return [json.loads(path.read_text()) for path in in_order]


def _elapsed(command: Mapping[str, Any]) -> float:
    return float(command["elapsed_time"])


def _seconds_of_facts(command: Mapping[str, Any]) -> float:
    (facts,) = (each for each in command["results"] if each["unique_id"].endswith(".metric_facts"))
    return float(facts["execution_time"])


def _check(database: Database, facts: int) -> None:
    with database.connect() as connection:
        row = connection.execute(
            "select count(*) as facts, count(*) filter (where is_reconciled is not true) as open"
            " from marts.metric_facts left join marts.account_daily using (account_id, event_date)"
        ).fetchone()
    if row is None or row["facts"] != facts or row["open"]:
        raise RuntimeError(f"the marts are not what was landed: {row}")


def _hand_written(database: Database) -> float:
    with database.connect(autocommit=True) as connection:
        indexes = [row["made"] for row in connection.execute(_SAME_INDEXES).fetchall()]
        begun = time.perf_counter()
        connection.execute(HAND_WRITTEN)
        for index in indexes:
            connection.execute(index.encode())
        took = time.perf_counter() - begun
        connection.execute("drop table public.facts")
        connection.execute("vacuum analyze")
    return took


def _queries(database: Database) -> tuple[int, float]:
    with database.connect(autocommit=True) as connection:
        connection.execute("set statement_timeout = 10000")
        took = [milliseconds(connection, query) for _, query in queries()]
    return sum(each > TARGET_MS for each in took), max(took)


def main(arguments: Sequence[str] = ()) -> bool:
    """Print each size's figures; whether one date and the rebuild are within the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, nargs="+", default=SIZES)
    parser.add_argument("--once", action="store_true", help="do not build all a second time")
    options = parser.parse_args(arguments)
    measured = []
    for facts in options.facts:
        measured.append(measure(facts, once=options.once))
        print(measured[-1].line(), flush=True)
    smallest = measured[0].one_date_dbt
    most = max(each.one_date_dbt for each in measured)
    print(f"one date: {most / smallest:.2f} x that of the smallest (target {MOST_OF_SMALLEST})")
    return most <= MOST_OF_SMALLEST * smallest and all(
        each.facts_filled <= MOST_OF_HAND_WRITTEN * each.hand_written for each in measured
    )


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
