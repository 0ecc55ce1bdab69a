"""``meta-ads serve``: the HTTP service: Meta's webhooks, health, metrics."""

from __future__ import annotations

from typing import Annotated

import typer

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.runtime import running

app = options.command_app()


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> int:
    """Receive Meta's webhooks (/webhooks/meta); serve /health and /metrics. Ctrl-C stops it.

    It listens on this machine alone unless --host says otherwise. Put a proxy that speaks TLS in
    front of it, and let only /webhooks/meta through.
    """
    import uvicorn

    from meta_ads_pipeline.serving.app import create_app

    with running(needs_api=False) as runtime:
        service = create_app(runtime.settings, runtime.database)
        uvicorn.run(service, host=host, port=port, log_level="info", server_header=False)
    return 0
