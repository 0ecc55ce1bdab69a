"""A Graph API to develop, demo and test against: generated or recorded accounts, over real HTTP.

Exports are loaded on first use: a command that only names the simulator starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meta_graph_simulator.config import DEFAULT_TOKEN, SimulatorConfig, TokenSpec
    from meta_graph_simulator.http.control_client import ControlClient, ControlError
    from meta_graph_simulator.http.process import SimulatorProcess
    from meta_graph_simulator.http.server import SimulatorServer, run_simulator
    from meta_graph_simulator.recordings.files import RecordingError

_MODULES = {
    "DEFAULT_TOKEN": "config",
    "SimulatorConfig": "config",
    "TokenSpec": "config",
    "ControlClient": "http.control_client",
    "ControlError": "http.control_client",
    "SimulatorProcess": "http.process",
    "SimulatorServer": "http.server",
    "run_simulator": "http.server",
    "RecordingError": "recordings.files",
}
__all__ = [
    "DEFAULT_TOKEN",
    "ControlClient",
    "ControlError",
    "RecordingError",
    "SimulatorConfig",
    "SimulatorProcess",
    "SimulatorServer",
    "TokenSpec",
    "run_simulator",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
