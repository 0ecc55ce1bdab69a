"""The accounts that a configuration asks for: generated ones, then recorded ones."""

from __future__ import annotations

from meta_graph_simulator.accounts.generator import GeneratorConfig, generate
from meta_graph_simulator.accounts.source import AccountSource
from meta_graph_simulator.clock import SimulatedClock
from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.recordings.recorded_account import RecordedAccount


def build_sources(config: SimulatorConfig, clock: SimulatedClock) -> list[AccountSource]:
    """Sources on the given clock, generated accounts first.

    Raises RecordingError: a folder that holds no recorded account.
    """
    fleet = GeneratorConfig(
        accounts=config.accounts,
        ads=config.ads,
        seed=config.seed,
        from_date=config.from_date,
        restating=config.restating,
        markets=config.markets,
    )
    recorded = [RecordedAccount(folder, clock.now) for folder in config.recordings]
    return [*generate(fleet, clock.now), *recorded]
