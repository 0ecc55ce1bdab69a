"""Airbyte's source for Meta ads, without its platform: records as JSON lines on its output."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.peers.peer import FIELDS, Peer, Wanted
from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN


def _config(wanted: Wanted) -> dict[str, Any]:
    insight = {
        "name": "hours",
        "level": "ad",
        "fields": FIELDS,
        "breakdowns": [HOURLY_BREAKDOWN],
        "action_breakdowns": [],
        "time_increment": 1,
        "insights_lookback_window": 1,
        **wanted.span,
    }
    return {
        "account_ids": [wanted.account],
        "credentials": {"auth_type": "Service", "access_token": wanted.token},
        "custom_insights": [insight],
        **wanted.span,
    }


def _choose(printed: str) -> dict[str, Any]:
    messages = map(json.loads, printed.splitlines())
    [streams] = [each["catalog"]["streams"] for each in messages if each["type"] == "CATALOG"]
    [stream] = [each for each in streams if each["name"] == "customhours"]
    chosen = {
        "stream": stream,
        "sync_mode": "incremental",
        "destination_sync_mode": "append_dedup",
        "cursor_field": ["date_start"],
        "primary_key": stream.get("source_defined_primary_key"),
    }
    return {"streams": [chosen]}


AIRBYTE = Peer(
    name="airbyte",
    requirement="airbyte-source-facebook-marketing==6.1.9",
    program="source-facebook-marketing",
    discover=("discover",),
    read=("read",),
    config=_config,
    choose=_choose,
)
"""A custom insight by the hour."""
