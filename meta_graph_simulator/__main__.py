"""``python -m meta_graph_simulator``."""

from __future__ import annotations

import typer

from meta_graph_simulator.cli import serve


def main() -> None:
    """Serve until interrupted."""
    app = typer.Typer(
        add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
    )
    app.command(name="meta_graph_simulator")(serve)
    app(prog_name="python -m meta_graph_simulator")


if __name__ == "__main__":
    main()
