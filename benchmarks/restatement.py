"""What Meta's restatement costs to follow, and whether the curve is right.

Three generated accounts ripen for forty simulated days under one refresh of 28 days a day. The
table is the curve against the simulator's own truth, and the calls.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from dbt.cli.main import dbtRunner

from benchmarks.replay import Replay, dbt_at
from meta_ads_pipeline.control.database import Database, export_environment
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.run_tags import REFRESH_RECENT
from meta_ads_pipeline.windows import SETTLED_AFTER_DAYS, local_today
from meta_graph_simulator.config import DEFAULT_TOKEN, SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer

PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
FIRST = date(2026, 9, 20)
DAYS, ADS = 40, 20
AGES = (1, 3, 7, 14, 28)
DAILY_HOUR = 5
TOLERANCE = Decimal("0.000001")


def day_at(day: date, hour: int) -> datetime:
    """An hour of a UTC date."""
    return datetime(day.year, day.month, day.day, hour, 20, tzinfo=UTC)


@dataclass
class Truth:
    """Purchases and spend of each account's dates at the daily refreshes, as the simulator said."""

    seen: dict[tuple[str, date, int], dict[str, Decimal]]

    @classmethod
    def nothing(cls) -> Truth:
        """Before the first refresh."""
        return cls({})

    def note(self, replay: Replay) -> None:
        """What was just pulled of each account, by days after the date."""
        for account in replay.accounts:
            today = local_today(account.timezone, replay.now)
            oldest = max(FIRST, today - timedelta(days=SETTLED_AFTER_DAYS))
            rows = replay.simulator.control.truth(account.account_id, oldest, today)
            for row in rows:
                day = date.fromisoformat(row["date"])
                purchases = row["actions"].get("purchase", 0)  # the same as its omni type
                self.seen[account.account_id, day, (today - day).days] = {
                    "spend": Decimal(row["spend"]),
                    "purchases": Decimal(purchases),
                }

    def share(self, account_id: str, measure: str, age: int, settled: list[date]) -> Decimal | None:
        """Of the final value after so many days."""
        value = final = Decimal(0)
        for day in settled:
            then = self.seen.get((account_id, day, age))
            last = self.seen.get((account_id, day, SETTLED_AFTER_DAYS))
            if then is not None and last is not None:
                value, final = value + then[measure], final + last[measure]
        return round(value / final, 6) if final else None


def learn(replay: Replay, truth: Truth) -> None:
    """Forty days of daily refreshes; today's numbers once an evening."""
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        if number:
            replay.set_clock(day_at(day, DAILY_HOUR))
            replay.refresh_recent(FIRST)
            truth.note(replay)
        replay.set_clock(day_at(day, 22))
        replay.refresh_today()


def build(replay: Replay, target: Path) -> None:
    """The curve and what it needs. Raises RuntimeError: dbt failed."""
    export_environment(replay.database)
    places = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    paths = ["--target-path", str(target), "--log-path", str(target / "logs")]
    kinds = ["--exclude-resource-type", "unit_test", "test"]
    environment = os.environ
    with dbt_at(replay.now, environment):
        result = dbtRunner().invoke(
            ["build", "--select", "+restatement_curve", *kinds, *places, *paths, "--quiet"]
        )
    if not result.success:
        raise RuntimeError(f"dbt failed: {result.exception or result.result}")


def curve(replay: Replay, truth: Truth) -> bool:
    """Print the curve at some ages beside the truth; whether all of it is the same."""
    rows = {
        (row["account_id"], row["measure"], row["lag_days"]): row["share_of_final"]
        for row in replay.rows("select * from marts.restatement_curve")
    }
    right = True
    heads = " ".join(f"{f'day {age}':>9}" for age in AGES)
    print(f"{'share of the final value':30} {heads}  as the simulator's truth")
    for account in replay.accounts:
        today = local_today(account.timezone, replay.now)
        settled = [
            day
            for day in (FIRST + timedelta(days=n) for n in range(DAYS))
            if (today - day).days > SETTLED_AFTER_DAYS
        ]
        for measure in ("spend", "purchases"):
            found = [rows.get((account.account_id, measure, age)) for age in AGES]
            expected = [truth.share(account.account_id, measure, age, settled) for age in AGES]
            same = all(
                (a is None and b is None)
                or (a is not None and b is not None and abs(a - b) <= TOLERANCE)
                for a, b in zip(found, expected, strict=True)
            )
            right &= same
            shares = " ".join(f"{share:9.4f}" if share is not None else " " * 9 for share in found)
            name = f"{account.currency} {measure}"
            print(f"{name:30} {shares}  {'yes' if same else f'NO: {expected}'}")
    return right


def run(replay: Replay, home: Path) -> bool:
    """Measure and print; whether the curve is the truth's."""
    truth = Truth.nothing()
    learn(replay, truth)
    build(replay, home / "target")
    daily = [count for (_, kind), count in sorted(replay.calls.items()) if kind == REFRESH_RECENT]
    (ledger,) = replay.rows(
        "select count(*) as rows, count(distinct (account_id, event_date, asset, detected_at))"
        " as slices from raw.insights_changes"
    )
    print(
        f"{len(replay.accounts)} accounts x {DAYS} days: {sum(daily) / len(daily):.1f} calls a"
        f" daily refresh ({min(daily)} to {max(daily)}), {ledger['slices']} changed slices,"
        f" {ledger['rows']} ledger rows"
    )
    return curve(replay, truth)


def main() -> bool:
    """On a throw-away database and simulator."""
    config = SimulatorConfig(
        accounts=3, ads=ADS, restating=True, from_date=FIRST - timedelta(days=60)
    )
    with tempfile.TemporaryDirectory(prefix="meta-ads-restatement-") as home:
        server = EmbeddedPostgres(Path(home) / "server")
        database = Database(server.start())
        try:
            database.migrate()
            with (
                SimulatorServer(config) as simulator,
                MetaAdsClient(access_token=DEFAULT_TOKEN, graph_url=simulator.url) as client,
            ):
                replay = Replay.begin(database, simulator, client, day_at(FIRST, 22))
                return run(replay, Path(home))
        finally:
            database.dispose()
            server.release()


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)
