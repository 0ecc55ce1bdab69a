"""``meta-ads serve``: the HTTP service: a workspace's numbers, Meta's webhooks, health."""

from __future__ import annotations

import gc
import signal
from typing import Annotated

import typer

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.runtime import running

_STOP_SECONDS = 3
"""An open stream ends by itself never."""

app = options.command_app()


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> int:
    """Serve /workspaces to API keys, /webhooks/meta to Meta, /health, /metrics. Ctrl-C stops it.

    It listens on this machine alone unless --host says otherwise. Put a proxy that speaks TLS in
    front of it, and keep /metrics, which needs no key, behind it.
    """
    import uvicorn
    from uvicorn.config import LOGGING_CONFIG

    from meta_ads_pipeline.serving.app import create_app

    with running(needs_api=False) as runtime:
        service = create_app(runtime.settings, runtime.database)
        # None: its records go to the root logger's handler, as JSON.
        log_config = None if runtime.settings.log_format == "json" else LOGGING_CONFIG
        # What was imported stays: looking through it at each collection costs a batch of posted
        # facts a fifth of its time.
        gc.collect()
        gc.freeze()
        # uvicorn raises the signal that ended it once more; what follows here has to run.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        uvicorn.run(
            service,
            host=host,
            port=port,
            log_level="info",
            log_config=log_config,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    return 0
