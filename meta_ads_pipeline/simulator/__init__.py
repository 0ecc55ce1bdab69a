"""A Graph API to develop, demo and test against: generated or recorded accounts, over real HTTP."""

from meta_ads_pipeline.simulator.config import SimulatorConfig
from meta_ads_pipeline.simulator.recording import RecordingError
from meta_ads_pipeline.simulator.server import SimulatorServer, run_simulator

__all__ = ["RecordingError", "SimulatorConfig", "SimulatorServer", "run_simulator"]
