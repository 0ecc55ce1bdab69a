"""Run the comparison; see the package."""

from __future__ import annotations

import argparse
import tempfile
from decimal import Decimal
from pathlib import Path

from benchmarks import peers
from benchmarks.backfill import new_world
from benchmarks.peers.airbyte import AIRBYTE
from benchmarks.peers.meltano import MELTANO
from benchmarks.peers.peer import Extraction, Wanted
from meta_graph_simulator.config import SimulatorConfig

PEERS = {peer.name: peer for peer in (AIRBYTE, MELTANO)}


def main() -> None:
    """Print a line for this project and for each peer that was named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=peers.__doc__)
    parser.add_argument(
        "peers",
        nargs="*",
        choices=[*PEERS, []],
        metavar="peer",
        help=f"{', '.join(PEERS)} (default: all)",
    )
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--ads", type=int, default=50)
    parser.add_argument("--latency-ms", type=int, default=150, help="of each call")
    parser.add_argument("--report-seconds", type=float, default=5, help="until a report is done")
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(tempfile.gettempdir()) / "meta-ads-peers",
        help="where the peers are installed, and stay (default: %(default)s)",
    )
    asked = parser.parse_args()
    config = SimulatorConfig(
        port=0,
        accounts=1,
        ads=asked.ads,
        latency_ms=asked.latency_ms,
        job_seconds=asked.report_seconds,
    )
    with new_world(config) as world:
        dates, account = world.last_days(asked.days), world.accounts[0]
        wanted = Wanted(account, dates[0], dates[-1])
        truth = world.simulator.control.truth(account, dates[0], dates[-1])
        spent = sum((Decimal(str(day["spend"])) for day in truth), Decimal(0))
        print(f"{asked.days} days of {asked.ads} ads; spend by the simulator {spent}", flush=True)
        ours = world.sync("this project", dates)
        rows, spend = world.landed_hours()
        say(Extraction(ours, rows, rows, spend), "landed, reconciled, marts built")
        for name in asked.peers or PEERS:
            found = PEERS[name].extract(world.simulator, wanted, asked.environments)
            say(found, f"to a file; {found.cost.seconds / ours.seconds:.1f} x the time")


def say(found: Extraction, what: str) -> None:
    """One line."""
    cost = found.cost
    print(
        f"{cost.name:14} {cost.seconds:7.1f} s {cost.cpu:7.1f} s CPU {cost.mib:5.0f} MiB"
        f" {cost.calls:6} calls  {found.rows:8,} rows of {found.hours:,} hours,"
        f" spend {found.spend}  {what}",
        flush=True,
    )


if __name__ == "__main__":
    main()
