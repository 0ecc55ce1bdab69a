"""The objects in a row's `actions` and `action_values`: what is counted of them must be numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from meta_ads_pipeline.attribution import LIVE_WINDOWS

COUNTED = ("value", *LIVE_WINDOWS)
"""Keys of an action object that the marts read; whatever else it has is kept as it came."""


class ActionItems:
    """Looks through lists of action objects; remembers the texts it has read before."""

    def __init__(self, parse: Callable[[Any], object]) -> None:
        """``parse`` raises ``ValueError``, saying what was expected, on what is no number."""
        self._parse = parse
        self._readable: set[str] = set()

    def unusable(self, items: Sequence[Any]) -> tuple[Any, str] | None:
        """The first part that cannot be counted, and what was expected of it; None if all can."""
        for item in items:
            if not isinstance(item, dict):
                return item, "an action object"
            for name in COUNTED:
                value = item.get(name)
                if value is None or (isinstance(value, str) and value in self._readable):
                    continue
                try:
                    self._parse(value)
                except ValueError as error:
                    return value, f"{error} as {name} of {item.get('action_type')}"
                if isinstance(value, str):
                    self._readable.add(value)
        return None
