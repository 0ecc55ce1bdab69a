"""Numbers and times as people read them. What is missing is a dash, never 0."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from meta_ads_pipeline.semantic.answer import unit_of
from meta_ads_pipeline.semantic.layer import semantic_layer

MISSING = "–"

STATUS_WORDS = {
    "reconciled": "agrees",
    "within_tolerance": "agrees within tolerance",
    "mismatch": "does not agree: held",
    "incomplete": "a pull is missing",
    "withheld": "withheld: nothing confirms it",
}
"""Of the three totals of an account-day; see ``marts.reconciliation``."""

STATUS_MARKS = {
    "reconciled": "✓",
    "within_tolerance": "≈",
    "mismatch": "!",
    "incomplete": "…",
    "withheld": "?",
}


def number(value: Any, measure: str) -> str:
    """A value of a measure, without its currency."""
    if value is None:
        return MISSING
    amount = Decimal(value)
    unit = unit_of(measure)
    if unit == "percent":
        return f"{amount:,.2f} %"
    if unit == "count" and amount == amount.to_integral_value():
        return f"{amount:,.0f}"
    return f"{amount:,.2f}"


def plain_number(value: Any) -> str:
    """A number of no measure that the semantic layer has."""
    if value is None:
        return MISSING
    amount = Decimal(value)
    return f"{amount:,.0f}" if amount == amount.to_integral_value() else f"{amount:,.2f}"


def percent(value: Any) -> str:
    """A change in percent with its sign."""
    return MISSING if value is None else f"{Decimal(value):+,.1f} %"


def label(measure: str) -> str:
    """What people call a measure, or a dimension."""
    layer = semantic_layer()
    if measure in layer.measures:
        return layer.measures[measure].label
    if measure in layer.dimensions:
        return layer.dimensions[measure].label
    return measure.replace("_", " ").replace("-", " ").capitalize()


def pulled_label(measure: str) -> str:
    """The same of what a pull brings, ``actions:TYPE`` and ``action_values:TYPE`` among it."""
    kind, _, action = measure.partition(":")
    if not action:
        return label(measure)
    return f"{action} (value)" if kind.endswith("_values") else action


def described(measure: str) -> str:
    """What a measure is."""
    return semantic_layer().measures[measure].description


def day(value: date | datetime | str | None) -> str:
    """A date as 20 Nov 2026."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        value = date.fromisoformat(value)
    return f"{value.day} {value:%b %Y}"


def short_day(value: date) -> str:
    """A date as Fri 20."""
    return f"{value:%a} {value.day}"


def instant(value: datetime | None) -> str:
    """A time as 2026-11-20 14:05 UTC."""
    return MISSING if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def moment(value: Any) -> str:
    """A point of a time axis: a date, an hour, an hour of the day, a weekday."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return str(value)


def duration(seconds: float | None) -> str:
    """So many seconds, roughly."""
    if seconds is None:
        return MISSING
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86400:.0f} days"


def web_address(text: str | None) -> str | None:
    """The text where it is an address of the web, to be linked to; nothing else is."""
    if text is not None and text.lower().startswith(("https://", "http://")):
        return text
    return None
