"""Sixty days of schedules for five ad accounts: how many rows each table of records holds, and why.

    python -m benchmarks retention_growth

Every kind of run that the schedules ask for is run for real, against the simulator, and what it
writes to ``control`` and ``dagster`` is kept as a pattern. Sixty days of such runs are then written
from the patterns, at their own times and for their own dates, with every tick of every schedule and
sensor; each simulated night the real retention runs, and Dagster's own for ticks. Only the texts of
events are left out; their size is that of the real runs.

The target: from day 45 to day 60 no table of records grows by more than what a new date adds for
good. What is kept for longer than 60 days is shown with the days it is kept for.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.simulated_daemon import SimulatedDaemon, simulated_daemon
from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer

ACCOUNTS, ADS, DAYS = 5, 3, 60
LOOKED_AT = (15, 30, 45, 60)
DAY = datetime.now(UTC).date() - timedelta(days=1)
"""The date of the real runs; the sixty days end with it."""

COPIED = {
    "dagster.runs": "id",
    "dagster.run_tags": "id",
    "dagster.event_logs": "id",
    "dagster.asset_check_executions": "id",
    "control.slice_loads": "load_id",
}
"""Tables to which each run adds rows, with the column that numbers them."""

NUMBERS = {
    "dagster.asset_event_tags",
    "control.syncs",
    "control.call_counts",
    "control.stream_events",
}
"""Tables to which each run adds rows, of which the number is copied; the last has a trigger."""

BY_DATE = {"control.slices", "control.check_results", "control.built_dates", "control.call_budgets"}
BY_NAME = {
    "control.call_slots",
    "dagster.snapshots",
    "dagster.asset_keys",
    "dagster.kvs",
    "dagster.instance_info",
}
"""Tables that a second run over the same dates adds nothing to."""

PER_DATE = 400
"""Rows that a new date may add for good to one table: the latest state of each asset and check."""

LONGER = {
    "control.slice_loads": "retention_audit_days",
    "control.syncs": "retention_audit_days",
    "control.stream_events": "retention_stream_days",
}

_SHIFT = "(s.at - %(real)s)"
_VALUES = {
    ("dagster.runs", "run_id"): "s.run",
    ("dagster.runs", "run_body"): "''",
    ("dagster.runs", "start_time"): f"t.start_time + extract(epoch from {_SHIFT})",
    ("dagster.runs", "end_time"): f"t.end_time + extract(epoch from {_SHIFT})",
    ("dagster.runs", "create_timestamp"): f"t.create_timestamp + {_SHIFT}",
    ("dagster.runs", "update_timestamp"): f"t.update_timestamp + {_SHIFT}",
    ("dagster.run_tags", "run_id"): "s.run",
    ("dagster.event_logs", "id"): "s.first + t.place",
    ("dagster.event_logs", "run_id"): "s.run",
    ("dagster.event_logs", "event"): "''",
    ("dagster.event_logs", "timestamp"): f"t.timestamp + {_SHIFT}",
    ("dagster.event_logs", "partition"): "(t.partition::date + s.days)::text",
    ("dagster.asset_check_executions", "run_id"): "s.run",
    ("dagster.asset_check_executions", "evaluation_event"): "''",
    ("dagster.asset_check_executions", "evaluation_event_timestamp"): (
        f"t.evaluation_event_timestamp + {_SHIFT}"
    ),
    ("dagster.asset_check_executions", "create_timestamp"): f"t.create_timestamp + {_SHIFT}",
    ("control.slice_loads", "run_id"): "s.run",
    ("control.slice_loads", "partition_date"): "t.partition_date + s.days",
    ("control.slice_loads", "pulled_at"): "s.at",
    ("control.slice_loads", "loaded_at"): "s.at",
    ("control.slice_loads", "started_at"): "s.at",
}
"""What differs from a pattern's row; ``t`` is that row, ``s`` the run that is written."""


@dataclass
class Pattern:
    """What one real run of a kind wrote.

    ``at`` is when by Dagster's clock (UTC, naive), ``bytes`` the size of its rows.
    """

    kind: str
    per_day: int
    run_id: str
    at: datetime
    rows: dict[str, int] = field(default_factory=dict)
    bytes: int = 0

    def kept_as(self, table: str) -> str:
        """Where its rows of a table are kept."""
        return f"growth.{self.kind}_{table.split('.')[1]}"


class Growth:
    """The database, the patterns taken from it, and the simulated days written from them."""

    def __init__(self, daemon: SimulatedDaemon, tell: Callable[[str], None]) -> None:
        self.daemon, self.tell = daemon, tell
        self.instance, self.database = daemon.instance, daemon.database
        self.patterns: list[Pattern] = []
        self.problems: list[str] = []
        self.counts: dict[int, dict[str, int]] = {}
        self.ticks_a_day = 0
        self.execute("create schema growth")

    def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        with self.database.connect() as connection:
            found: list[dict[str, Any]] = connection.execute(query, parameters).fetchall()
        return found

    def value(self, query: str, **parameters: Any) -> Any:
        """The one value of a query."""
        ((value,),) = (row.values() for row in self.rows(query, **parameters))
        return value

    def execute(self, query: str, **parameters: Any) -> None:
        """A statement in a transaction of its own."""
        with self.database.connect() as connection:
            connection.execute(query, parameters or None)

    def count_all(self) -> dict[str, int]:
        """Rows of each table of control and dagster."""
        tables = self.rows(
            "select table_schema || '.' || table_name as name from information_schema.tables"
            " where table_schema in ('control', 'dagster') and table_type = 'BASE TABLE' order by 1"
        )
        return {t["name"]: self.value(f"select count(*) from {t['name']}") for t in tables}

    # The real runs.

    def run_all_kinds(self) -> None:
        """Land the accounts, then run each kind twice; the second is the pattern."""
        from meta_ads_pipeline.automation.windows import range_tags
        from meta_ads_pipeline.windows import DateWindow

        daemon = self.daemon
        daemon.go_to(_at(4, 0))
        window = range_tags(DateWindow(DAY - timedelta(days=28), DAY), "backfill")
        first = dg.RunRequest(run_key="first", tags=window)
        assert daemon.run([first], "sync"), "the first sync"

        def schedule(name: str) -> Callable[[], int]:
            return lambda: daemon.tick(name)

        def job(name: str) -> Callable[[], int]:
            return lambda: daemon.run([dg.RunRequest()], name)

        self._learn("refresh_today", 96, schedule("refresh_today"), [(10, 0), (10, 15)])
        self._learn("refresh_entities", 24, schedule("refresh_entities"), [(11, 0), (12, 0)])
        # The first sync has asked for it just now, by the real clock.
        self.execute("update control.slices set started_at = started_at - interval '2 days'")
        self._learn("refresh_reach", 1, schedule("refresh_reach"), [(13, 40)])
        recent = [(5, 20), (17, 20)]
        self._learn("refresh_recent", 2, schedule("refresh_recent_28_days"), recent)
        self._learn("credentials", 24, job("credentials"), [(18, 43), (19, 43)])
        self._learn("retention", 1, job("retention"), [(20, 17)])

    def _learn(
        self, kind: str, per_day: int, run: Callable[[], int], at: list[tuple[int, int]]
    ) -> None:
        before: dict[str, int] = {}
        made: list[dict[str, Any]] = []
        for instant in at:
            self.daemon.go_to(_at(*instant))
            earlier = self.count_all()
            newest = self.value("select coalesce(max(id), 0) from dagster.runs")
            run()
            new = self.rows(
                "select run_id, create_timestamp as at, status from dagster.runs"
                " where id > %(newest)s",
                newest=newest,
            )
            if new:
                before, made = earlier, new
        if len(made) != 1 or made[0]["status"] != "SUCCESS":
            self.problems.append(f"{kind}: {[each['status'] for each in made] or 'no run'}")
            return
        pattern = Pattern(kind, per_day, made[0]["run_id"], made[0]["at"])
        grown = {t: n - before.get(t, 0) for t, n in self.count_all().items()}
        pattern.rows = {table: more for table, more in grown.items() if more > 0}
        unknown = set(pattern.rows) - set(COPIED) - NUMBERS - BY_NAME - BY_DATE
        if unknown:
            self.problems.append(f"{kind} also adds to {sorted(unknown)}")
        self._keep(pattern)
        self.patterns.append(pattern)
        self.tell(f"{kind}: {pattern.rows}, {pattern.bytes / 1e6:.2f} MB")

    def _keep(self, pattern: Pattern) -> None:
        for table, number in COPIED.items():
            self.execute(
                f"create table {pattern.kept_as(table)} as"
                f" select t.*, row_number() over (order by {number}) as place"
                f" from {table} as t where run_id = '{pattern.run_id}'"
            )
            size = "select coalesce(sum(pg_column_size(t)), 0)::bigint from "
            pattern.bytes += self.value(size + f"{pattern.kept_as(table)} as t")
        tags = "dagster.asset_event_tags"
        self.execute(
            f"create table {pattern.kept_as(tags)} as select t.*, e.place from {tags} as t"
            f" join {pattern.kept_as('dagster.event_logs')} as e on e.id = t.event_id"
        )

    def forget_real_runs(self) -> None:
        """The sixty days begin with what was landed and without records of runs."""
        self.execute(
            "truncate dagster.runs, dagster.run_tags, dagster.event_logs, dagster.asset_event_tags,"
            " dagster.asset_check_executions, control.slice_loads, control.syncs,"
            " control.call_counts"
        )

    # The simulated days.

    def write_day(self, night: datetime) -> None:
        """All runs and ticks of the 24 hours before ``night`` (UTC), as their patterns say."""
        for pattern in self.patterns:
            events = pattern.kept_as("dagster.event_logs")
            self.execute("drop table if exists growth.slots")
            self.execute(
                "create table growth.slots as select n, gen_random_uuid()::text as run,"
                f" timestamp '{night:%Y-%m-%d %H:%M}' - interval '24 hours'"
                f" + n * interval '24 hours' / {pattern.per_day} as at,"
                f" date '{night:%Y-%m-%d}' - date '{DAY}' as days,"
                " (select coalesce(max(id), 0) from dagster.event_logs)"
                f" + n * (select count(*) from {events}) as first"
                f" from generate_series(0, {pattern.per_day - 1}) as n"
            )
            for table in COPIED:
                self._copy(pattern, table)
            self._copy_numbers(pattern)
        self.execute("select setval('dagster.event_logs_id_seq', max(id)) from dagster.event_logs")
        self._tick(night)

    def _copy(self, pattern: Pattern, table: str) -> None:
        schema, name = table.split(".")
        columns = [
            row["name"]
            for row in self.rows(
                "select column_name as name from information_schema.columns"
                " where table_schema = %(schema)s and table_name = %(name)s",
                schema=schema,
                name=name,
            )
            if row["name"] != COPIED[table] or table == "dagster.event_logs"
        ]
        values = ", ".join(_VALUES.get((table, column), f"t.{column}") for column in columns)
        self.execute(
            f"insert into {table} ({', '.join(columns)}) select {values}"
            f" from {pattern.kept_as(table)} as t, growth.slots as s order by s.n, t.place".replace(
                "%(real)s", f"timestamp '{pattern.at}'"
            )
        )

    def _copy_numbers(self, pattern: Pattern) -> None:
        self.execute(
            "insert into dagster.asset_event_tags (event_id, asset_key, key, value)"
            " select s.first + t.place, t.asset_key, t.key, t.value"
            f" from {pattern.kept_as('dagster.asset_event_tags')} as t, growth.slots as s"
        )
        self.execute(
            "insert into control.syncs (scope, start_date, end_date, status, started_at,"
            " finished_at, opened_at) select run || n, at::date, at::date, 'done', at, at, at"
            f" from growth.slots as s, generate_series(1, {pattern.rows.get('control.syncs', 0)})"
        )
        calls = pattern.rows.get("control.call_counts", 0)
        self.execute(
            "insert into control.call_counts (connection, minute, account_id, use_case, calls,"
            f" wasted) select '{pattern.kind}', at, k::text, 'calls', 1, 0"
            f" from growth.slots, generate_series(1, {calls}) as k"
        )

    def _tick(self, night: datetime) -> None:
        """A day's ticks of every schedule and sensor, and Dagster's own deletion of old ones."""
        from dagster._core.definitions.run_request import InstigatorType
        from dagster._utils.schedules import cron_string_iterator

        from meta_ads_pipeline.definitions import build_defs

        repository = build_defs().get_repository_def()
        written = 0
        a_day: list[tuple[InstigatorType, str, int]] = [
            (InstigatorType.SENSOR, each.name, 86_400 // (each.minimum_interval_seconds or 30))
            for each in repository.sensor_defs
        ]
        for each in repository.schedule_defs:
            ticks = cron_string_iterator(night.timestamp() - 86_400, str(each.cron_schedule), "UTC")
            many = sum(1 for _ in itertools.takewhile(lambda tick: tick < night, ticks))
            a_day.append((InstigatorType.SCHEDULE, each.name, many))
        for kind, name, many in a_day:
            settings = self.instance.get_tick_retention_settings(kind)
            if not many:
                continue
            self.execute(
                "insert into dagster.job_ticks (job_origin_id, selector_id, status, type,"
                f" timestamp, tick_body) select '{name}', '{name}',"
                f" case when n %% 4 = 0 then 'SUCCESS' else 'SKIPPED' end, '{kind.value}',"
                f" timestamp '{night:%Y-%m-%d %H:%M}' - n * interval '24 hours' / {many}, ''"
                f" from generate_series(1, {many}) as n".replace("%%", "%")
            )
            written += many
            for status, days in settings.items():
                if days > 0:
                    before = (night - timedelta(days=days)).timestamp()
                    self.instance.purge_ticks(name, name, before, [status])
        self.ticks_a_day = written

    def keep(self, night: datetime) -> None:
        """The nightly retention, and the counters that calling processes shorten."""
        from meta_ads_pipeline.rate_limit.limiter import KEPT_COUNTS
        from meta_ads_pipeline.rate_limit.store import CallBudgetStore
        from meta_ads_pipeline.retention.keep import keep_retentions
        from meta_ads_pipeline.settings import get_settings

        kept = keep_retentions(self.database, self.instance, get_settings(), night)
        self.problems += [f"{each.what}: {each.error}" for each in kept if each.error]
        CallBudgetStore(self.database).forget_counts(night.timestamp() - KEPT_COUNTS)

    def judge(self) -> bool:
        """Print rows by table and day, and what a new date adds for good."""
        from meta_ads_pipeline.settings import get_settings

        settings = get_settings()
        last, earlier = self.counts[DAYS], self.counts[LOOKED_AT[-2]]
        heads = " | ".join(f"day {day}" for day in LOOKED_AT)
        self.tell(f"| table | {heads} | per new date | |\n|---|{'---|' * (len(LOOKED_AT) + 2)}")
        for table in sorted(last):
            if not last[table]:
                continue
            rate = (last[table] - earlier[table]) / (DAYS - LOOKED_AT[-2])
            note = ""
            if table in LONGER and rate > 0:
                days = getattr(settings, LONGER[table])
                note = f"kept {days} days: {last[table] / DAYS * days:,.0f} rows then"
            elif rate > PER_DATE:
                note = "GROWS"
                self.problems.append(f"{table} grows by {rate:,.0f} rows a day")
            figures = " | ".join(f"{self.counts[day][table]:,}" for day in LOOKED_AT)
            self.tell(f"| `{table}` | {figures} | {rate:,.1f} | {note} |")
        empty = [table for table, count in last.items() if not count]
        self.tell(f"empty: {', '.join(empty)}")
        runs = sum(p.per_day for p in self.patterns)
        written = sum(p.per_day * p.bytes for p in self.patterns) / 1e6
        self.tell(f"{runs} runs, {self.ticks_a_day:,} ticks and {written:,.0f} MB of records a day")
        for problem in self.problems:
            self.tell(f"PROBLEM: {problem}")
        return not self.problems


def _at(hour: int, minute: int) -> datetime:
    return datetime(DAY.year, DAY.month, DAY.day, hour, minute, tzinfo=UTC)


def main() -> bool:
    """On a database and simulator of its own; whether no table of records goes on growing."""
    started = time.monotonic()
    config = SimulatorConfig(
        accounts=ACCOUNTS,
        ads=ADS,
        markets=(("EUR", "UTC"),),
        from_date=DAY - timedelta(days=30),
        start_time=_at(3, 0),
    )

    def tell(line: str) -> None:
        print(line, flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="meta-ads-growth-") as place,
        SimulatorServer(config) as simulator,
        simulated_daemon(
            Path(place) / "home", simulator, DAY - timedelta(days=28), _at(3, 0)
        ) as daemon,
    ):
        growth = Growth(daemon, tell)
        growth.run_all_kinds()
        tell(f"real runs after {time.monotonic() - started:.0f} s")
        growth.forget_real_runs()
        end = datetime(DAY.year, DAY.month, DAY.day, 3, 17, tzinfo=UTC)
        for number in range(1, DAYS + 1):
            night = end - timedelta(days=DAYS - number)
            growth.write_day(night)
            growth.keep(night)
            if number in LOOKED_AT:
                growth.counts[number] = growth.count_all()
                tell(f"day {number} after {time.monotonic() - started:.0f} s")
        return growth.judge()
