"""The dates that an insights call asks for, as far as it names them."""

from __future__ import annotations

from datetime import date

import orjson

from meta_graph_simulator.graph.call import GraphCall


def requested_range(call: GraphCall) -> tuple[date, date] | None:
    """First and last date of ``time_range``; None where the call names none."""
    text = call.params.get("time_range")
    try:
        document = orjson.loads(text) if text else dict(call.params)
        since, until = document["since"], document["until"]
        return date.fromisoformat(str(since)), date.fromisoformat(str(until))
    except (KeyError, TypeError, ValueError):
        return None


def requested_days(call: GraphCall) -> int | None:
    """Number of dates of ``time_range``, both ends included."""
    found = requested_range(call)
    return None if found is None else (found[1] - found[0]).days + 1
