"""``meta-ads simulator``: the simulator's own command, ``python -m meta_graph_simulator``."""

from __future__ import annotations

from meta_ads_pipeline.cli import options
from meta_graph_simulator.cli import serve

app = options.command_app()
app.command()(serve)
