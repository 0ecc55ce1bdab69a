"""The command ``python -m meta_graph_simulator``; ``meta-ads simulator`` is the same one."""

from __future__ import annotations

import json
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer


def list_faults(wanted: bool) -> None:
    """Print every kind of fault with its parameters, and end."""
    if not wanted:
        return
    from meta_graph_simulator.faults.table import KINDS

    for name, kind in KINDS.items():
        typer.echo(name)
        typer.echo(
            textwrap.fill(kind.description(), 96, initial_indent="    ", subsequent_indent="    ")
        )
        for parameter, meaning in kind.params.items():
            typer.echo(f"      {parameter}: {meaning}")
    raise typer.Exit


def serve(
    context: typer.Context,
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
    job_seconds: Annotated[float, typer.Option(min=0, help="Duration of an async report.")] = 2.0,
    enforce_limits: Annotated[bool, typer.Option(help="Refuse calls above the limits.")] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with any setting of config.py (- is stdin); options go first.",
            allow_dash=True,
        ),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Serve https with this file.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Key of the certificate.")
    ] = None,
    _list_faults: Annotated[
        bool,
        typer.Option(
            "--list-faults", is_eager=True, callback=list_faults, help="Print the kinds of faults."
        ),
    ] = False,
    ready_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
    quiet: Annotated[bool, typer.Option(help="Print nothing but errors.")] = False,
) -> None:
    """Serve Meta's Graph API on loopback: generated or recorded accounts, faults on demand."""
    from pydantic import ValidationError

    from meta_graph_simulator import RecordingError, SimulatorConfig, run_simulator

    given: dict[str, Any] = {
        "port": port,
        "accounts": accounts,
        "ads": ads,
        "seed": seed,
        "recordings": tuple(recording or ()),
        "faults": tuple(_fault(text) for text in fault or ()),
        "latency_ms": latency_ms,
        "job_seconds": job_seconds,
        "enforce_limits": enforce_limits,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
    }
    named = {"recordings": "recording", "faults": "fault"}
    from_command_line = {}
    for name, value in given.items():
        source = context.get_parameter_source(named.get(name, name))
        if source is not None and source.name == "COMMANDLINE":
            from_command_line[name] = value

    def ready(url: str) -> None:
        if ready_file is not None:
            partial = ready_file.with_suffix(".tmp")
            partial.write_text(json.dumps({"url": url}))
            partial.replace(ready_file)
        if not quiet:
            typer.echo(f"Graph API simulator on {url} (Ctrl-C stops it)")
            sys.stdout.flush()

    try:
        settings = SimulatorConfig.model_validate(_settings(config) | from_command_line)
        # uvicorn raises Ctrl-C again once it has stopped: that is how this command ends.
        with suppress(KeyboardInterrupt):
            run_simulator(settings, on_start=ready)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise typer.BadParameter("; ".join(problems), param_hint="--config") from error
    except RecordingError as error:
        raise typer.BadParameter(str(error), param_hint="--recording") from error
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fault") from error
    except OSError as error:
        typer.echo(
            f"Cannot listen on port {port}: {error.strerror}. Choose another: --port", err=True
        )
        raise typer.Exit(1) from error


def _settings(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        document = json.loads(text)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--config") from error
    if not isinstance(document, dict):
        raise typer.BadParameter(f"{path}: expected a JSON object", param_hint="--config")
    return document


def _fault(text: str) -> dict[str, Any]:
    try:
        fault = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not JSON: {error}", param_hint="--fault") from error
    if not isinstance(fault, dict) or "kind" not in fault:
        raise typer.BadParameter(f'{text!r}: expected an object with "kind"', param_hint="--fault")
    return fault
