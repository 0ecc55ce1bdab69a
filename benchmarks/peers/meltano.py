"""Meltano's Singer tap for Meta ads: records as JSON lines on its output."""

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

REQUIREMENT = "meltano-tap-facebook==0.9.0"
API_VERSION = "v25.0"
"""In place of its default, which Meta no longer serves."""

_STREAM = "adsinsights_hours"


def hours(simulator: SimulatorProcess, wanted: Wanted, environments: Path) -> Extraction:
    """A report by the hour, read from nothing; other streams and fields are not selected."""
    program = PeerEnvironment(environments / "meltano", REQUIREMENT).program("tap-facebook")
    report = {
        "name": "hours",
        "level": "ad",
        "action_breakdowns": [],
        "breakdowns": [HOURS],
        "time_increment_days": 1,
        "action_attribution_windows_view": "1d_view",
        "action_attribution_windows_click": "7d_click",
        "action_report_time": "mixed",
        "lookback_window": 28,
    }
    config = {
        "access_token": wanted.token,
        "account_id": wanted.account,
        "api_version": API_VERSION,
        "start_date": f"{wanted.first}T00:00:00Z",
        "end_date": f"{wanted.last}T00:00:00Z",
        "insight_reports_list": [report],
    }
    folder = environments / "meltano_run"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    command = [str(program), "--config", str(folder / "config.json"), "--discover"]
    catalog = messages(command, of_simulator(simulator), "")
    # The hour is part of its key, so that it comes without being a field, which Meta refuses.
    fields = {*IDS, *MEASURES}
    for stream in catalog["streams"]:
        is_wanted = stream["tap_stream_id"] == _STREAM
        stream["selected"] = is_wanted
        for entry in stream["metadata"]:
            place = entry["breadcrumb"]
            entry["metadata"]["selected"] = is_wanted and (not place or place[-1] in fields)
    (folder / "catalog.json").write_text(json.dumps(catalog))
    command = [
        *(str(program), "--config", str(folder / "config.json")),
        *("--catalog", str(folder / "catalog.json")),
    ]
    return extract("meltano", command, simulator, folder / "records.jsonl", wanted)
