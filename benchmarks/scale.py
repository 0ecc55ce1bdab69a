"""What more dates, more ad accounts and the code itself add to a run.

Dates: one account of three ads, a week against a year, each one run; what a date adds is all of it,
pull, load, marts and Dagster's records. Accounts: five against forty of a hundred ads, the last two
days. Start: the code location, and a command that does nothing.
"""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.backfill import Cost, new_world
from meta_graph_simulator.config import SimulatorConfig

WEEK, YEAR = 7, 365
FEW, MANY = 5, 40
MOST_SECONDS_A_DATE = 0.05
MOST_SECONDS_TO_LOAD = 3.0
MOST_SECONDS_OF_HELP = 0.5
MOST_OF_FEW = 1.0
"""The targets. The last: an account among many costs no more than one among few."""

LOAD = "from meta_ads_pipeline.definitions import build_defs; build_defs()"


def syncs_of_dates() -> list[Cost]:
    """The sync of a week, and of a year."""
    costs = []
    for days in (WEEK, YEAR):
        with new_world(SimulatorConfig(port=0, accounts=1, ads=3)) as world:
            costs.append(world.sync(f"{days} dates", world.last_days(days)))
    return costs


def syncs_of_accounts() -> list[Cost]:
    """The sync of the last two days of few accounts, and of many."""
    costs = []
    for accounts in (FEW, MANY):
        with new_world(SimulatorConfig(port=0, accounts=accounts, ads=100)) as world:
            costs.append(world.sync(f"{accounts} accounts", world.last_days(2)))
    return costs


def seconds_of(arguments: list[str]) -> float:
    """The least of three times that a command took; the first one compiles."""
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        took.append(time.perf_counter() - begun)
    return min(took)


def main() -> bool:
    """Print what each added, and whether all targets were met."""
    met = []

    def say(name: str, cost: Cost, extra: str = "") -> None:
        print(
            f"{name:16} {cost.seconds:6.1f} s {cost.cpu:6.1f} s CPU {cost.mib:5.0f} MiB"
            f" {cost.calls} calls {extra}",
            flush=True,
        )

    week, year = syncs_of_dates()
    say(week.name, week)
    a_date = (year.seconds - week.seconds) / (YEAR - WEEK)
    say(year.name, year, f"a date adds {a_date * 1000:.0f} ms")
    met.append(a_date <= MOST_SECONDS_A_DATE)

    few, many = syncs_of_accounts()
    for cost, accounts in ((few, FEW), (many, MANY)):
        each = f"{cost.seconds / accounts:.2f} s, {cost.cpu / accounts:.2f} s CPU an account"
        say(cost.name, cost, each)
    met.append(many.seconds / MANY <= MOST_OF_FEW * few.seconds / FEW)

    for name, arguments, most in (
        ("code location", ["-c", LOAD], MOST_SECONDS_TO_LOAD),
        ("--help", ["-m", "meta_ads_pipeline.cli", "--help"], MOST_SECONDS_OF_HELP),
    ):
        took = seconds_of(arguments)
        print(f"{name:16} {took:6.2f} s")
        met.append(took <= most)
    return all(met)
