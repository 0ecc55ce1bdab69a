"""Run the benchmarks that are named, or all: ``python -m benchmarks [name ...]``.

Options after the name of one are its own: ``python -m benchmarks fortnight --first 8``.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from itertools import takewhile

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


def main(arguments: list[str]) -> int:
    """Run them one after the other; 0 when every target was met, 2 on wrong use."""
    names = list(takewhile(lambda each: not each.startswith("-"), arguments))
    options = arguments[len(names) :]
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(f"no benchmark {', '.join(sorted(unknown))}; there is: {', '.join(BENCHMARKS)}")
        return 2
    if options and len(names) != 1:
        print(f"{options[0]}: options are those of one benchmark, after its name")
        return 2
    met = True
    for name in names or BENCHMARKS:
        run = importlib.import_module(f"benchmarks.{name}").main
        if options and "arguments" not in inspect.signature(run).parameters:
            print(f"{name} has no options")
            return 2
        print(f"== {name}", flush=True)
        met &= bool(run(options) if options else run())
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
