"""Everything one simulator holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meta_ads_pipeline.simulator.clock import SimulatedClock
from meta_ads_pipeline.simulator.config import SimulatorConfig
from meta_ads_pipeline.simulator.faults import Fault, FaultBook
from meta_ads_pipeline.simulator.jobs import JobBoard
from meta_ads_pipeline.simulator.results import ReportCache
from meta_ads_pipeline.simulator.source import AccountSource
from meta_ads_pipeline.simulator.stats import Statistics
from meta_ads_pipeline.simulator.throttle import Block, Throttle, UseCase
from meta_ads_pipeline.simulator.tokens import TokenRegistry
from meta_ads_pipeline.simulator.world import World

_APP_WIDE = frozenset({4, 32})
_USE_CASES: dict[int, UseCase] = {80000: "ads_insights", 80004: "ads_management"}


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
        self.faults = FaultBook(config.seed)
        self.stats = Statistics(config.call_log_size)
        self.reports = ReportCache(self.clock, config.cache_bytes)
        self.jobs = JobBoard(config, self.clock)
        for fault in config.faults:
            self.add_fault(fault)

    def add_fault(self, raw: Mapping[str, Any]) -> Fault:
        """Put a fault in force.

        A rate limit over a period (``seconds``) becomes a block, told by the usage headers, in
        place of single errors.

        Raises pydantic.ValidationError: unknown kind or malformed members.
        """
        fault = self.faults.add(raw)
        if fault.kind == "rate_limit" and "seconds" in fault.params:
            fault.times = 0
            self._block(fault)
        return fault

    def _block(self, fault: Fault) -> None:
        code = int(fault.params.get("code", 17))
        accounts: list[str | None] = [None]
        if fault.match.account is not None:
            accounts = [fault.match.account.removeprefix("act_")]
        elif code not in _APP_WIDE:
            accounts = list(self.world.sources)
        until = self.clock.time() + fault.number("seconds", 60)
        subcode = fault.params.get("subcode")
        self.throttle.blocks += [
            Block(code, subcode, until, account, _USE_CASES.get(code), fault.id)
            for account in accounts
        ]
