"""What a peer is asked for, how its command is run, and what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.backfill import Cost, measured
from meta_graph_simulator.config import DEFAULT_TOKEN
from meta_graph_simulator.http.process import SimulatorProcess

HOURS = "hourly_stats_aggregated_by_advertiser_time_zone"
IDS = ("account_id", "campaign_id", "adset_id", "ad_id")
MEASURES = ("spend", "impressions", "clicks", "inline_link_clicks", "actions")


@dataclass(frozen=True)
class Wanted:
    """The hours of an ad account (digits) from one account-local date to another, both included."""

    account: str
    first: date
    last: date
    token: str = DEFAULT_TOKEN


@dataclass(frozen=True)
class Extraction:
    """What a peer took and wrote; ``rows`` counts records, ``hours`` distinct ads and hours."""

    cost: Cost
    rows: int
    hours: int
    spend: Decimal


@dataclass(frozen=True)
class PeerEnvironment:
    """The virtual environment of one package of the index, made when it is first needed."""

    folder: Path
    requirement: str

    def program(self, name: str) -> Path:
        """A command of the package; raises CalledProcessError where it cannot be installed."""
        program = self.folder / "bin" / name
        if not program.exists():
            print(f"installing {self.requirement} into {self.folder}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(self.folder)], check=True)
            pip = [str(self.folder / "bin" / "pip"), "install", "--quiet"]
            subprocess.run([*pip, self.requirement], check=True)
        return program


def of_simulator(simulator: SimulatorProcess) -> dict[str, str]:
    """The environment in which a peer's calls go to the simulator."""
    return {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent / "graph_elsewhere"),
        "META_GRAPH_URL": simulator.url,
    }


def messages(arguments: list[str], environment: Mapping[str, str], kind: str) -> Any:
    """The first message of this type that a command prints, or all of its output, as JSON."""
    printed = subprocess.run(
        arguments, env=dict(environment), capture_output=True, text=True, check=True
    ).stdout
    if not kind:
        return json.loads(printed)
    return next(json.loads(line) for line in printed.splitlines() if f'"{kind}"' in line)


def extract(
    name: str, arguments: list[str], simulator: SimulatorProcess, output: Path, wanted: Wanted
) -> Extraction:
    """Run the command with its records going to the file; what it cost, and what is in there."""
    with output.open("w") as file:
        cost = measured(name, arguments, of_simulator(simulator), simulator, file)
    rows, hours, spend = 0, set(), Decimal(0)
    for record in _records(output):
        day = str(record["date_start"])[:10]
        if not wanted.first.isoformat() <= day <= wanted.last.isoformat():
            continue
        rows += 1
        hour = (record["ad_id"], day, record[HOURS])
        if hour not in hours:
            hours.add(hour)
            spend += Decimal(str(record.get("spend") or 0))
    return Extraction(cost, rows, len(hours), spend)


def _records(output: Path) -> Iterator[dict[str, Any]]:
    """The rows among the messages of Airbyte's and Singer's protocols."""
    with output.open() as lines:
        for line in lines:
            message = json.loads(line) if line.startswith("{") else {}
            record = message.get("record")
            if message.get("type") == "RECORD" and isinstance(record, dict):
                yield record.get("data", record)
