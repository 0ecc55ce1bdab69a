"""The simulator as a package of its own: no import of the pipeline, a command, lazy exports."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import meta_graph_simulator
from meta_graph_simulator.faults.table import KINDS

PACKAGE = Path(meta_graph_simulator.__file__).parent
# Each room imports only from those above it; config and clock are everybody's.
ROOMS = ("graph", "accounts", "recordings", "insights", "faults", "endpoints", "http")


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", PACKAGE.rglob("*.py"), ids=lambda path: path.stem)
def test_imports(path: Path) -> None:
    for name in imports(path):
        assert name.split(".")[0] != "meta_ads_pipeline", f"{path}: {name}"
    room = path.relative_to(PACKAGE).parts[0]
    if room not in ROOMS:
        return
    above = ROOMS[: ROOMS.index(room) + 1]
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "meta_graph_simulator" and len(parts) > 2 and parts[1] in ROOMS:
            assert parts[1] in above, f"{path}: {name}"


def test_exports_are_there() -> None:
    for name in meta_graph_simulator.__all__:
        assert getattr(meta_graph_simulator, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = meta_graph_simulator.no_such_name


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meta_graph_simulator", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_lists_the_kinds_of_faults() -> None:
    done = command("--list-faults")
    assert done.returncode == 0, done.stderr
    assert set(KINDS) <= set(done.stdout.split())
    assert "times_per_path" not in done.stdout


def test_what_cannot_be_served_is_named(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"seeds": 1}))
    for arguments, message in (
        (("--fault", '{"kind": "gremlins"}'), "gremlins"),
        (("--fault", '{"kind": "html", "params": {"status": 1}}'), "http_status"),
        (("--config", str(config)), "seeds"),
        (("--recording", str(tmp_path)), "accounts"),
    ):
        done = command("--port", "0", *arguments)
        assert done.returncode == 2
        assert message in done.stderr
