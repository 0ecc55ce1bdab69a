"""``meta-ads simulator``: Meta's Graph API on loopback."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from meta_ads_pipeline.cli import options
from meta_ads_pipeline.cli.runtime import SimulatorError
from meta_graph_simulator import RecordingError, SimulatorConfig, run_simulator

app = options.command_app()


@app.command()
def simulator(
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8765,
    accounts: Annotated[int, typer.Option(min=0, help="Accounts to generate.")] = 3,
    ads: Annotated[int | None, typer.Option(min=1, help="Ads per generated account.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the generated accounts.")] = 1,
    recording: Annotated[
        list[Path] | None, typer.Option(exists=True, file_okay=False, help="Recorded account.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help='A fault as JSON, for instance {"kind": "transient", "times": 3}.'),
    ] = None,
    latency_ms: Annotated[float, typer.Option(min=0, help="Delay of every response.")] = 0.0,
    job_seconds: Annotated[float, typer.Option(min=0, help="Duration of an async job.")] = 2.0,
    enforce_limits: Annotated[bool, typer.Option(help="Refuse calls above the limits.")] = False,
    ready_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
    quiet: Annotated[bool, typer.Option(help="Print nothing but errors.")] = False,
) -> int:
    """Serve Meta's Graph API on loopback: generated or recorded accounts, faults on demand."""
    values: dict[str, Any] = {
        "port": port,
        "accounts": accounts,
        "seed": seed,
        "recordings": tuple(recording or ()),
        "faults": tuple(_fault(text) for text in fault or ()),
        "latency_ms": latency_ms,
        "job_seconds": job_seconds,
        "enforce_limits": enforce_limits,
    }
    if ads is not None:
        values["ads"] = ads

    def ready(url: str) -> None:
        if ready_file is not None:
            partial = ready_file.with_suffix(".tmp")
            partial.write_text(json.dumps({"url": url}))
            partial.replace(ready_file)
        if not quiet:
            typer.echo(f"Graph API simulator on {url} (Ctrl-C stops it)")

    try:
        # uvicorn raises Ctrl-C again once it has stopped: that is how this command ends.
        with suppress(KeyboardInterrupt):
            run_simulator(SimulatorConfig(**values), on_start=ready)
    except RecordingError as error:
        raise typer.BadParameter(str(error), param_hint="--recording") from error
    except OSError as error:
        raise SimulatorError(
            f"cannot listen on port {port}: {error.strerror}. Choose another with --port"
        ) from error
    return 0


def _fault(text: str) -> dict[str, Any]:
    try:
        fault = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not JSON: {error}") from error
    if not isinstance(fault, dict) or "kind" not in fault:
        raise typer.BadParameter(f'{text!r}: expected an object with "kind"')
    return fault
