"""Meltano's Singer tap for Meta ads: records as JSON lines on its output."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.peers.peer import FIELDS, Peer, Wanted
from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN

API_VERSION = "v25.0"
"""In place of its default, which Meta no longer serves."""


def _config(wanted: Wanted) -> dict[str, Any]:
    report = {
        "name": "hours",
        "level": "ad",
        "action_breakdowns": [],
        "breakdowns": [HOURLY_BREAKDOWN],
        "time_increment_days": 1,
        "action_attribution_windows_view": "1d_view",
        "action_attribution_windows_click": "7d_click",
        "action_report_time": "mixed",
        "lookback_window": 28,
    }
    return {
        "access_token": wanted.token,
        "account_id": wanted.account,
        "api_version": API_VERSION,
        "insight_reports_list": [report],
        **wanted.span,
    }


def _choose(printed: str) -> dict[str, Any]:
    catalog: dict[str, Any] = json.loads(printed)
    for stream in catalog["streams"]:
        stream["selected"] = stream["tap_stream_id"] == "adsinsights_hours"
        for entry in stream["metadata"]:
            place = entry["breadcrumb"]
            # The hour is part of its key: it comes without being a field, which Meta refuses.
            is_field = not place or place[-1] in FIELDS
            entry["metadata"]["selected"] = stream["selected"] and is_field
    return catalog


MELTANO = Peer(
    name="meltano",
    requirement="meltano-tap-facebook==0.9.0",
    program="tap-facebook",
    discover=("--discover",),
    read=(),
    config=_config,
    choose=_choose,
)
"""A report by the hour; other streams and fields are not selected."""
