"""Everything one simulator holds."""

from __future__ import annotations

from collections.abc import Iterable

from meta_ads_pipeline.simulator.clock import SimulatedClock
from meta_ads_pipeline.simulator.config import SimulatorConfig
from meta_ads_pipeline.simulator.faults import FaultBook
from meta_ads_pipeline.simulator.jobs import JobBoard
from meta_ads_pipeline.simulator.results import ReportCache
from meta_ads_pipeline.simulator.source import AccountSource
from meta_ads_pipeline.simulator.stats import Statistics
from meta_ads_pipeline.simulator.throttle import Throttle
from meta_ads_pipeline.simulator.tokens import TokenRegistry
from meta_ads_pipeline.simulator.world import World


class Simulator:
    """The state behind the HTTP surface; used from one event loop only."""

    def __init__(
        self,
        config: SimulatorConfig,
        sources: Iterable[AccountSource],
        clock: SimulatedClock | None = None,
    ) -> None:
        self.config = config
        self.clock = clock or SimulatedClock(config.start_time, speed=config.clock_speed)
        self.world = World(sources)
        self.tokens = TokenRegistry(config, self.clock)
        self.throttle = Throttle(config, self.clock, self.world.active_ads)
        self.faults = FaultBook(config.seed, config.faults)
        self.stats = Statistics(config.call_log_size)
        self.reports = ReportCache(self.clock, config.cache_bytes)
        self.jobs = JobBoard(config, self.clock)
