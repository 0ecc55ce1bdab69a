"""A Graph API to develop, demo and test against: generated or recorded accounts, over real HTTP."""

from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer, run_simulator
from meta_graph_simulator.recordings.files import RecordingError

__all__ = ["RecordingError", "SimulatorConfig", "SimulatorServer", "run_simulator"]
