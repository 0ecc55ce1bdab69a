"""JSON text that Postgres accepts as ``jsonb``, exactly: no float ever touches a number."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

_REPLACEMENT = "\ufffd"


def json_text(value: Any, *, sort_keys: bool = False) -> str:
    """Serialize a parsed JSON value; ``Decimal`` becomes a bare number with the same digits.

    What ``jsonb`` refuses (NUL characters, lone surrogates) is replaced by U+FFFD, so that one odd
    name cannot stop a load.
    """
    option = orjson.OPT_SORT_KEYS if sort_keys else 0
    try:
        text = orjson.dumps(value, default=_exact_number, option=option).decode()
    except TypeError:
        # A lone surrogate, or an integer beyond 64 bits.
        text = json.dumps(_storable(value), sort_keys=sort_keys, separators=(",", ":"))
    if "\\u0000" in text:
        text = json.dumps(_storable(value), sort_keys=sort_keys, separators=(",", ":"))
    return text


def storable_text(text: str) -> str:
    """The text without NUL characters and lone surrogates, which Postgres has no place for."""
    return text.replace("\0", _REPLACEMENT).encode("utf-8", "replace").decode()


def _exact_number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value)) if value.is_finite() else str(value)
    return str(value)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        return {_storable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)
