"""Six weeks of schedules with a ten-day outage, and one held day and one half day followed.

    python -m benchmarks six_weeks

The schedules and sensors decide by their own code, and each run they ask for is the whole job, at
a simulated instant, against the simulator. Each evening the state of both days is read where people
look: the view, ``meta-ads status``, ``marts.freshness``, the rollup, the check, and the partition
that the Dagster UI shows. They may never differ, and in the end both days are settled to the cent.

Mornings on which nothing becomes of the two days are left out, unless ``SIX_WEEKS_EVERY_DAY`` is
set. ``SIX_WEEKS_HOME`` keeps the database: ``META_ADS_HOME=... meta-ads up`` shows it in the UI.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg

from benchmarks.simulated_daemon import SimulatedDaemon, simulated_daemon
from benchmarks.simulated_time import simulate_time
from meta_ads_pipeline.control.database import Database
from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer

ZONE = "Europe/Berlin"
DAYS = 42
FIRST = datetime.now(UTC).date() - timedelta(days=DAYS)
"""The story ends today: no partition of it lies in the future."""
HELD = FIRST + timedelta(days=8)
"""One ad is missing among its days, until Meta puts it right on `RELEASED`."""
HALF = FIRST + timedelta(days=12)
"""Pulled at noon; nothing runs from then on for ten days."""
OUTAGE = range(13, 23)
RELEASED = FIRST + timedelta(days=27)
MORNINGS = (8, 9, 10, 23, 27, 36, 37, 40, 41)
"""Days after `FIRST` with a run: around each change of a state."""
MORNING, NOON, EVENING = (5, 20), (11, 0), (19, 0)
SHOWN = ("raw/account_totals", "marts/reconciliation", "marts/metric_facts", "marts/account_daily")
"""Assets whose partitions are looked at."""
FINAL = ("open", "complete", "settled")


@dataclass(frozen=True)
class Said:
    """What is said of a date in each place."""

    view: str
    in_status: bool
    in_freshness: bool
    reconciled: bool | None
    partitions: tuple[str, ...]

    @property
    def is_final(self) -> bool:
        """Whether the view holds nothing against it."""
        return self.view in FINAL

    @property
    def agrees(self) -> bool:
        """Whether every place says the same."""
        is_open = self.view == "open"
        held_back = "materialized" not in self.partitions[2:] if self.view == "held" else True
        shown = self.is_final is not self.in_status and self.is_final is not self.in_freshness
        green = is_open or self.reconciled is self.is_final
        return shown and held_back and green


@dataclass
class SixWeeks:
    """One account, its simulator, and what the daemon would do, at simulated instants."""

    daemon: SimulatedDaemon
    account: str
    problems: int = 0

    @property
    def simulator(self) -> SimulatorServer:
        """Meta."""
        return self.daemon.simulator

    @property
    def database(self) -> Database:
        """Where it lands."""
        return self.daemon.database

    def set_clock(self, day: date, at: tuple[int, int]) -> None:
        """Go to an instant (UTC) of a date, in the pipeline, the simulator and the database."""
        self.daemon.go_to(datetime(day.year, day.month, day.day, *at, tzinfo=UTC))

    def ask_sensors(self) -> None:
        """One tick of the sensors that fetch what is missing, until one has a run."""
        for sensor in ("retry_failed_slices", "backfill_gaps"):
            if self.daemon.sense(sensor):
                return

    def said_of(self, day: date) -> Said:
        """All places."""
        from meta_ads_pipeline.cli.status import read_status

        simulate_time()
        with self.database.connect() as connection:
            rows = connection.execute(
                "select d.state, r.is_reconciled from control.account_days as d"
                " left join marts.account_daily as r using (account_id, event_date)"
                " where d.event_date = %s",
                [day],
            ).fetchall()
            freshness = connection.execute("select * from marts.freshness").fetchone() or {}
        listed = read_status(self.database)["account_days"]
        named = [freshness.get(f"{kind}_dates") for kind in ("held", "missing", "incomplete")]
        # Dates that only wait for their last pull are no news of freshness.
        unsettled = bool(rows) and rows[0]["state"] == "unsettled"
        return Said(
            view=rows[0]["state"] if rows else "-",
            in_status=any(str(day) in row["dates"].split(", ") for row in listed),
            in_freshness=unsettled or any(str(day) in (dates or "") for dates in named),
            reconciled=rows[0]["is_reconciled"] if rows else None,
            partitions=tuple(self._partition(name, day) for name in SHOWN),
        )

    def _partition(self, asset: str, day: date) -> str:
        """As the UI shows it: materialized, failed or missing."""
        from dagster._core.definitions.partitions.context import partition_loading_context
        from dagster._core.storage.partition_status_cache import (
            get_and_update_asset_status_cache_value,
        )

        from meta_ads_pipeline.partitions import daily_partitions

        key = dg.AssetKey(asset.split("/"))
        with partition_loading_context(dynamic_partitions_store=self.daemon.instance):
            cached = get_and_update_asset_status_cache_value(
                self.daemon.instance, key, daily_partitions
            )
        if cached is None:
            return "missing"
        subsets = {
            "failed": cached.deserialize_failed_partition_subsets(daily_partitions),
            "materialized": cached.deserialize_materialized_partition_subsets(daily_partitions),
        }
        found = (name for name, subset in subsets.items() if str(day) in subset)
        return next(found, "missing")

    def check_passed(self) -> bool | None:
        """What the UI shows of the reconciliation's check."""
        key = dg.AssetCheckKey(dg.AssetKey(["marts", "reconciliation"]), "reconciliation")
        records = self.daemon.instance.event_log_storage.get_asset_check_execution_history(
            key, limit=1
        )
        if not records or records[0].event is None:
            return None
        event = records[0].event.dagster_event
        return None if event is None else event.asset_check_evaluation_data.passed

    def follow(self, tell: Callable[[str], None]) -> None:
        """All six weeks; a line an evening."""
        every_day = bool(os.environ.get("SIX_WEEKS_EVERY_DAY"))
        for number in range(1 if every_day else MORNINGS[0], DAYS + 1):
            today = FIRST + timedelta(days=number)
            if number not in OUTAGE:
                self.day(today, number, with_refresh=every_day or number in MORNINGS)
            self.set_clock(today, EVENING)
            held, half = self.said_of(HELD), self.said_of(HALF)
            passed = self.check_passed()
            problems = [
                f"{day} is told differently: {said}"
                for day, said in ((HELD, held), (HALF, half))
                if said.view != "-" and not said.agrees
            ]
            if held.view == "held" and passed:
                problems.append("held, and the check is green")
            self.problems += len(problems)
            colour = {True: "green", False: "red", None: "-"}[passed]
            tell(
                f"{today}  {held.view:<11} {'/'.join(p[:4] for p in held.partitions):<21}"
                f" {half.view:<11} {'/'.join(p[:4] for p in half.partitions):<21} {colour}"
            )
            for problem in problems:
                tell(f"    PROBLEM: {problem}")

    def day(self, today: date, number: int, *, with_refresh: bool) -> None:
        """The morning's refresh, the sensors, and of the half day its noon."""
        if today == HELD + timedelta(days=1):
            rows = self.simulator.control.truth(self.account, HELD, HELD, by_ad=True)
            most = max(rows, key=lambda row: Decimal(row["spend"]))
            self.simulator.control.plant_level_fault(
                self.account, "ad", "drop", ad_id=most["ad_id"], day=HELD
            )
        if today == RELEASED:
            self.simulator.control.reset("data")
        if number == OUTAGE.stop:
            # The sensors are first: what the refresh would have covered is a gap all the same.
            self.set_clock(today, (MORNING[0], 5))
            self.ask_sensors()
        if with_refresh:
            self.set_clock(today, MORNING)
            self.daemon.tick("refresh_recent_28_days")
        if today == HALF:
            self.set_clock(today, NOON)
            self.daemon.tick("refresh_today")

    def ends_right(self, tell: Callable[[str], None]) -> bool:
        """Whether both days are settled, reconciled, and the simulator's truth to the cent."""
        right = self.problems == 0 and bool(self.check_passed())
        for day in (HELD, HALF):
            with self.database.connect() as connection:
                row = connection.execute(
                    "select spend, impressions, clicks, purchases, is_settled, is_reconciled"
                    " from marts.account_daily where event_date = %s",
                    [day],
                ).fetchone()
            (truth,) = self.simulator.control.truth(self.account, day, day)
            same = row is not None and (
                row["spend"] == Decimal(truth["spend"])
                and row["impressions"] == truth["impressions"]
                and row["is_settled"]
                and row["is_reconciled"]
                and self.said_of(day).view == "settled"
            )
            right &= same
            tell(f"{day}: {dict(row or {})}; truth: spend {truth['spend']}: {same}")
        return right


def main() -> bool:
    """On a database and simulator of its own; whether no place ever differed and both settled."""
    started = time.monotonic()
    start = datetime(FIRST.year, FIRST.month, FIRST.day, 12, tzinfo=UTC)
    config = SimulatorConfig(
        accounts=1,
        ads=8,
        restating=True,
        markets=(("EUR", ZONE),),
        from_date=FIRST,
        start_time=start,
    )
    kept = os.environ.get("SIX_WEEKS_HOME")

    def tell(line: str) -> None:
        print(line, flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="meta-ads-six-weeks-") as place,
        SimulatorServer(config) as simulator,
        simulated_daemon(
            Path(kept or place) / "home", simulator, FIRST, start, META_ADS_REACH="false"
        ) as daemon,
    ):
        account = str(simulator.control.state()["accounts"][0]["id"]).removeprefix("act_")
        weeks = SixWeeks(daemon, account)
        tell(f"held day {HELD}, half day {HALF}, partitions of {', '.join(SHOWN)}")
        tell(f"{'evening':<11} {'held day':<33} {'half day':<33} check")
        weeks.follow(tell)
        right = weeks.ends_right(tell)
        tell(
            f"{DAYS} days, {daemon.runs} runs, {weeks.problems} problems in"
            f" {time.monotonic() - started:.0f} s"
        )
    return right
