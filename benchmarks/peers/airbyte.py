"""Airbyte's source for Meta ads, without its platform: records as JSON lines on its output."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.peers.extraction import (
    HOURS,
    IDS,
    MEASURES,
    Extraction,
    PeerEnvironment,
    Wanted,
    extract,
    messages,
    of_simulator,
)
from meta_graph_simulator.http.process import SimulatorProcess

REQUIREMENT = "airbyte-source-facebook-marketing==6.1.9"


def hours(simulator: SimulatorProcess, wanted: Wanted, environments: Path) -> Extraction:
    """A custom insight by the hour, read from nothing."""
    program = PeerEnvironment(environments / "airbyte", REQUIREMENT).program(
        "source-facebook-marketing"
    )
    span = {
        "start_date": f"{wanted.first}T00:00:00Z",
        "end_date": f"{wanted.last}T00:00:00Z",
    }
    insight = {
        "name": "hours",
        "level": "ad",
        "fields": [*IDS, *MEASURES],
        "breakdowns": [HOURS],
        "action_breakdowns": [],
        "time_increment": 1,
        "insights_lookback_window": 1,
        **span,
    }
    config = {
        "account_ids": [wanted.account],
        "credentials": {"auth_type": "Service", "access_token": wanted.token},
        "custom_insights": [insight],
        **span,
    }
    folder = environments / "airbyte_run"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    command = [str(program), "discover", "--config", str(folder / "config.json")]
    found = messages(command, of_simulator(simulator), "CATALOG")["catalog"]["streams"]
    [stream] = [each for each in found if each["name"] == "customhours"]
    chosen = {
        "stream": stream,
        "sync_mode": "incremental",
        "destination_sync_mode": "append_dedup",
        "cursor_field": ["date_start"],
        "primary_key": stream.get("source_defined_primary_key"),
    }
    (folder / "catalog.json").write_text(json.dumps({"streams": [chosen]}))
    command = [
        *(str(program), "read", "--config", str(folder / "config.json")),
        *("--catalog", str(folder / "catalog.json")),
    ]
    return extract("airbyte", command, simulator, folder / "records.jsonl", wanted)
