"""``meta-ads``: the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script. Known failures are one clear line and exit code 1; bad usage is 2."""
    from meta_ads_pipeline.cli.app import run

    code = run(sys.argv[1:])
    if (interrupts := sys.modules.get("meta_ads_pipeline.cli.interrupts")) is not None:
        interrupts.end_if_interrupted(code)
    sys.exit(code)
