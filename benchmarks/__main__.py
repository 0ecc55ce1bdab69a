"""Run the benchmarks that are named, or all: ``python -m benchmarks [name ...]``."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = (
    "anomalies",
    "backfill",
    "call_cost",
    "celery_workers",
    "fortnight",
    "history",
    "ingest",
    "kill",
    "latency",
    "mart_queries",
    "power_cut",
    "restatement",
    "retention_growth",
    "scale",
    "serving_load",
    "six_weeks",
    "soak",
    "storm",
    "webhook_storm",
)
"""Modules of this package; each has ``main() -> bool``: whether its targets were met."""


def main(names: list[str]) -> int:
    """Run them one after the other; 0 when every target was met, 2 on an unknown name."""
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(f"no benchmark {', '.join(sorted(unknown))}; there is: {', '.join(BENCHMARKS)}")
        return 2
    met = True
    for name in names or BENCHMARKS:
        print(f"== {name}", flush=True)
        met &= bool(importlib.import_module(f"benchmarks.{name}").main())
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
