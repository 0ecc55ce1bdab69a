"""The accounts that a configuration asks for: generated ones, then recorded ones."""

from __future__ import annotations

from meta_ads_pipeline.simulator.clock import SimulatedClock
from meta_ads_pipeline.simulator.config import SimulatorConfig
from meta_ads_pipeline.simulator.generator import FleetConfig, generate
from meta_ads_pipeline.simulator.player import RecordedAccount
from meta_ads_pipeline.simulator.source import AccountSource


def build_sources(config: SimulatorConfig, clock: SimulatedClock) -> list[AccountSource]:
    """Sources on the given clock, generated accounts first.

    Raises RecordingError: a folder that holds no recorded account.
    """
    fleet = FleetConfig(
        accounts=config.accounts,
        ads=config.ads,
        seed=config.seed,
        from_date=config.from_date,
        restating=config.restating,
        markets=config.markets,
    )
    recorded = [RecordedAccount(folder, clock.now) for folder in config.recordings]
    return [*generate(fleet, clock.now), *recorded]
