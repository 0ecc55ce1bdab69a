"""Figures for Plotly, as documents. Colours are names of the style sheet, which knows dark mode.

Nothing here computes a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

Figure = dict[str, Any]

ACCENT, OPEN, BAND, SECOND, QUIET, LATE = (
    "--accent", "--open", "--band", "--second", "--quiet", "--late",
)  # fmt: skip

_LAYOUT: Mapping[str, Any] = {
    "margin": {"l": 56, "r": 16, "t": 8, "b": 32},
    "height": 260,
    "showlegend": True,
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    "hovermode": "x unified",
    "xaxis": {"gridcolor": "--line", "zeroline": False, "fixedrange": True},
    "yaxis": {"gridcolor": "--line", "zeroline": False, "fixedrange": True, "rangemode": "tozero"},
    "barmode": "stack",
}


def plain_value(value: Any) -> Any:
    """As JSON has it; amounts are only drawn from here on, so that floats do."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        # A wall clock's time: Plotly would move an offset into the browser's timezone.
        return value.replace(tzinfo=None).isoformat()
    return value.isoformat() if isinstance(value, date) else value


def figure(traces: Sequence[Mapping[str, Any]], **layout: Any) -> Figure:
    """A figure of these traces; ``layout`` is added to what all have."""
    merged: dict[str, Any] = {**_LAYOUT, **layout}
    for axis in ("xaxis", "yaxis"):
        merged[axis] = {**_LAYOUT[axis], **layout.get(axis, {})}
    return {"data": [_plain(trace) for trace in traces], "layout": _plain(merged)}


def line(
    name: str, x: Sequence[Any], y: Sequence[Any], colour: str = ACCENT, **more: Any
) -> dict[str, Any]:
    """A line; a missing value is a gap."""
    drawn = {"color": colour, "width": 2.5, **more.pop("line", {})}
    return {
        "type": "scatter", "mode": "lines+markers" if len(x) < 50 else "lines", "name": name,
        "x": x, "y": y, "line": drawn, "marker": {"size": 5}, "connectgaps": False, **more,
    }  # fmt: skip


def bars(
    name: str, x: Sequence[Any], y: Sequence[Any], colour: str = ACCENT, **more: Any
) -> dict[str, Any]:
    """Bars."""
    return {"type": "bar", "name": name, "x": x, "y": y, "marker": {"color": colour}, **more}


def band(
    name: str, x: Sequence[Any], low: Sequence[Any], high: Sequence[Any]
) -> list[dict[str, Any]]:
    """An area from ``low`` to ``high``."""
    edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}, "hoverinfo": "skip"}
    return [
        {**edge, "y": low, "showlegend": False},
        {**edge, "y": high, "name": name, "fill": "tonexty", "fillcolor": BAND},
    ]


def heat_map(x: Sequence[Any], y: Sequence[Any], z: Sequence[Sequence[Any]], title: str) -> Figure:
    """Cells coloured by their value."""
    return figure(
        [
            {
                "type": "heatmap", "x": x, "y": y, "z": z, "hoverongaps": False,
                "colorscale": [[0, "--heat-low"], [1, "--heat-high"]], "xgap": 2, "ygap": 2,
                "colorbar": {"title": {"text": title}, "thickness": 10, "outlinewidth": 0},
                "hovertemplate": "%{y} %{x}:00 · %{z:,.2f}<extra></extra>",
            }
        ],
        height=max(180, 90 + 22 * len(y)),
        showlegend=False,
        hovermode="closest",
        yaxis={"autorange": "reversed", "type": "category", "showgrid": False, "automargin": True},
        xaxis={"dtick": 3, "showgrid": False},
    )  # fmt: skip


def sparkline(values: Sequence[Any], width: int = 96, height: int = 22) -> str:
    """The points of an SVG polyline; empty with fewer than two values. A missing one is at 0."""
    numbers = [float(value or 0) for value in values]
    if len(numbers) < 2:
        return ""
    step = width / (len(numbers) - 1)
    scale = (height - 2) / (max(numbers) or 1.0)
    return " ".join(
        f"{round(place * step)},{round(height - 1 - scale * value, 1)}"
        for place, value in enumerate(numbers)
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return plain_value(value)
