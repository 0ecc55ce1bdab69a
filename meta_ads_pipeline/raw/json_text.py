"""JSON text that Postgres accepts as ``jsonb``, exactly: no float ever touches a number."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

_REPLACEMENT = "\ufffd"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_LARGEST_EXPONENT = 1000
"""Numbers beyond are kept as text: ``jsonb`` refuses what ``numeric`` has no place for."""


class TooDeepError(ValueError):
    """A value is nested deeper than any document of Meta's."""


def json_text(value: Any, *, sort_keys: bool = False) -> str:
    """Serialize a parsed JSON value; ``Decimal`` becomes a bare number with the same digits.

    What ``jsonb`` refuses (NUL characters, lone surrogates) is replaced by U+FFFD, so that one odd
    name cannot stop a load. Raises ``TooDeepError`` beyond some 250 levels.
    """
    option = orjson.OPT_SORT_KEYS if sort_keys else 0
    try:
        text = orjson.dumps(value, default=_exact_number, option=option).decode()
    except TypeError as error:
        if "ecursion" in str(error):
            raise TooDeepError("fewer levels of nesting") from error
        text = None  # a lone surrogate, or an integer beyond 64 bits
    if text is None or "\\u0000" in text:
        try:
            return json.dumps(_storable(value), sort_keys=sort_keys, separators=(",", ":"))
        except RecursionError as error:
            raise TooDeepError("fewer levels of nesting") from error
    return text


def storable_text(text: str) -> str:
    """The text with U+FFFD for NUL and lone surrogates, which Postgres has no place for."""
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def _exact_number(value: Any) -> Any:
    if isinstance(value, Decimal):
        fits = value.is_finite() and _fits(value)
        return orjson.Fragment(str(value)) if fits else str(value)
    return str(value)


def _fits(value: Decimal) -> bool:
    digits = len(value.as_tuple().digits)
    return abs(value.adjusted()) <= _LARGEST_EXPONENT and digits <= _LARGEST_EXPONENT


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
