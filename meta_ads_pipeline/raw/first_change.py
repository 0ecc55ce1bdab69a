"""The first row that a run's pulls change: from then on there is something to build."""

from __future__ import annotations

import threading
from collections.abc import Callable

_lock = threading.Lock()
_wanted: list[Callable[[], None]] = []


def at_first_change(do: Callable[[], None]) -> None:
    """Have this done once, when a pull of this process changes a row. Replaces an earlier wish."""
    with _lock:
        _wanted[:] = [do]


def row_changed() -> None:
    """A pull has changed a row. Any thread may say so, as often as it likes."""
    with _lock:
        wanted, _wanted[:] = list(_wanted), []
        for do in wanted:
            do()
