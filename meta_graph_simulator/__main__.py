"""``python -m meta_graph_simulator``: serve a configuration read as JSON from stdin.

The base URL is the first line of stdout. ``SimulatorProcess`` uses it; people use the command line
of the package.
"""

from __future__ import annotations

import sys

from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.server import run_simulator


def main() -> None:
    """Serve until interrupted."""
    config = SimulatorConfig.model_validate_json(sys.stdin.read() or "{}")

    def announce(url: str) -> None:
        sys.stdout.write(url + "\n")
        sys.stdout.flush()

    run_simulator(config, on_start=announce)


if __name__ == "__main__":
    main()
