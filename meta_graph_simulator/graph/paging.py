"""Cursor paging: opaque cursors, short and empty pages, absolute ``next`` links."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from meta_graph_simulator.graph.errors import bad_cursor, invalid_parameter

_PAGING_PARAMETERS = frozenset({"after", "before", "appsecret_proof", "method", "__paging_token"})


def encode_cursor(key: str) -> str:
    """An opaque cursor. Like Meta's it is base64 whose padding is spelt ``ZD``."""
    return base64.urlsafe_b64encode(key.encode()).decode().replace("=", "ZD")


def decode_cursor(cursor: str) -> str:
    """What a cursor stands for.

    Raises GraphError: code 2642 where it is none of ours.
    """
    stem = cursor.strip()
    padding = len(stem) % 4  # each spelt-out "=" is one character longer than a real one
    if padding == 3 or (padding and not stem.endswith("ZD" * padding)):
        raise bad_cursor()
    stem = stem[: len(stem) - 2 * padding]
    try:
        return base64.b64decode(stem + "=" * padding, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise bad_cursor() from None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a listing is asked for."""

    limit: int
    after: str | None
    before: str | None

    @classmethod
    def from_params(cls, params: Mapping[str, str], default: int, maximum: int) -> PageRequest:
        """Read ``limit``, ``after`` and ``before``; cursors come back decoded.

        Raises GraphError: 100 for a limit that is no positive number, 2642 for a bad cursor.
        """
        raw = params.get("limit")
        limit = default
        if raw:
            try:
                limit = int(raw)
            except ValueError:
                raise invalid_parameter("param limit must be an integer.") from None
            if limit <= 0:
                raise invalid_parameter("param limit must be greater than or equal to 1.")
        after, before = params.get("after"), params.get("before")
        return cls(
            min(limit, maximum),
            decode_cursor(after) if after else None,
            decode_cursor(before) if before else None,
        )

    def window(self, position_after: int | None, position_before: int | None) -> tuple[int, int]:
        """Half-open index range of the page, given where its cursor's row stands."""
        if position_before is not None:
            return max(0, position_before - self.limit), position_before
        start = 0 if position_after is None else position_after + 1
        return start, start + self.limit


def paging_links(
    base_url: str,
    path: str,
    params: Mapping[str, str],
    token: str | None,
    *,
    limit: int,
    first: str,
    last: str,
    has_next: bool,
    has_previous: bool,
) -> dict[str, Any]:
    """The ``paging`` object. Links carry the token and the call's parameters, as Meta's do."""
    paging: dict[str, Any] = {"cursors": {"before": first, "after": last}}
    if not has_next and not has_previous:
        return paging
    kept = {key: value for key, value in params.items() if key not in _PAGING_PARAMETERS}
    if token:
        kept = {"access_token": token, **kept}
    kept["limit"] = str(limit)
    stem = f"{base_url}{path}?{urlencode(kept)}"
    if has_previous:
        paging["previous"] = f"{stem}&before={first}"
    if has_next:
        paging["next"] = f"{stem}&after={last}"
    return paging
