"""A peer: where it comes from, how it is asked, how its command is run, and what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.backfill import Cost, measured
from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN, LEVEL_IDS
from meta_graph_simulator.config import DEFAULT_TOKEN
from meta_graph_simulator.http.process import SimulatorProcess

FIELDS = (*LEVEL_IDS["ad"], "spend", "impressions", "clicks", "inline_link_clicks", "actions")


@dataclass(frozen=True)
class Wanted:
    """The hours of an ad account (digits) from one account-local date to another, both included."""

    account: str
    first: date
    last: date
    token: str = DEFAULT_TOKEN

    @property
    def span(self) -> dict[str, str]:
        """The dates as both peers' settings have them."""
        return {
            "start_date": f"{self.first}T00:00:00Z",
            "end_date": f"{self.last}T00:00:00Z",
        }


@dataclass(frozen=True)
class Extraction:
    """What a peer took and wrote; ``rows`` counts records, ``hours`` distinct ads and hours."""

    cost: Cost
    rows: int
    hours: int
    spend: Decimal


@dataclass(frozen=True)
class Peer:
    """A package of the index whose program reads a source by Airbyte's or Singer's protocol.

    ``discover`` and ``read`` are what its two commands have beside the files. ``config`` makes its
    settings, ``choose`` the catalog of what to read from what ``discover`` printed.
    """

    name: str
    requirement: str
    program: str
    discover: tuple[str, ...]
    read: tuple[str, ...]
    config: Callable[[Wanted], dict[str, Any]]
    choose: Callable[[str], dict[str, Any]]

    def extract(
        self, simulator: SimulatorProcess, wanted: Wanted, environments: Path
    ) -> Extraction:
        """Read the hours from nothing; raises CalledProcessError or RuntimeError when it fails."""
        program = self._installed(environments / self.name)
        folder = environments / f"{self.name}_run"
        folder.mkdir(parents=True, exist_ok=True)
        config, catalog = folder / "config.json", folder / "catalog.json"
        config.write_text(json.dumps(self.config(wanted)))
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent / "graph_elsewhere"),
            "META_GRAPH_URL": simulator.url,
        }
        printed = subprocess.run(
            [str(program), *self.discover, "--config", str(config)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        catalog.write_text(json.dumps(self.choose(printed)))
        read = [
            *(str(program), *self.read),
            *("--config", str(config), "--catalog", str(catalog)),
        ]
        output = folder / "records.jsonl"
        with output.open("w") as file:
            cost = measured(self.name, read, environment, simulator, file)
        return _extraction(cost, output, wanted)

    def _installed(self, folder: Path) -> Path:
        program = folder / "bin" / self.program
        if not program.exists():
            print(f"installing {self.requirement} into {folder}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [str(folder / "bin" / "pip"), "install", "--quiet"]
            subprocess.run([*pip, self.requirement], check=True)
        return program


def _extraction(cost: Cost, output: Path, wanted: Wanted) -> Extraction:
    rows, hours, spend = 0, set(), Decimal(0)
    for record in _records(output):
        day = str(record["date_start"])[:10]
        if not wanted.first.isoformat() <= day <= wanted.last.isoformat():
            continue
        rows += 1
        hour = (record["ad_id"], day, record[HOURLY_BREAKDOWN])
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
