"""The settings under which the pipeline's own code runs in a benchmark's process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from meta_graph_simulator.config import DEFAULT_TOKEN


@contextmanager
def environment(home: Path, graph_url: str, first: date, **more: str) -> Iterator[None]:
    """A home of its own, the simulator at ``graph_url``, and a history that begins with ``first``.

    They stay until the process ends: what has read them keeps them.
    """
    os.environ |= {
        "META_ADS_HOME": str(home),
        "META_ADS_DATABASE_URL": "",
        "META_GRAPH_URL": graph_url,
        "META_ACCESS_TOKEN": DEFAULT_TOKEN,
        "META_ADS_HISTORY_START": first.isoformat(),
        **more,
    }
    yield
