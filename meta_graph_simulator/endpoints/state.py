"""Everything one simulator holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meta_graph_simulator.accounts.node_store import NodeStore
from meta_graph_simulator.accounts.source import AccountSource
from meta_graph_simulator.clock import SimulatedClock
from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.endpoints.rate_limits import Block, RateLimits, UseCase
from meta_graph_simulator.endpoints.stats import Statistics
from meta_graph_simulator.endpoints.tokens import TokenRegistry
from meta_graph_simulator.endpoints.webhooks import Webhooks
from meta_graph_simulator.faults.fault import Fault
from meta_graph_simulator.faults.registry import FaultRegistry
from meta_graph_simulator.insights.report_runs import ReportRuns
from meta_graph_simulator.insights.results import ReportCache

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
        self.nodes = NodeStore(sources)
        self.tokens = TokenRegistry(config, self.clock)
        self.throttle = RateLimits(config, self.clock, self.nodes.active_ads)
        self.faults = FaultRegistry(config.seed, self.nodes)
        self.stats = Statistics(config.call_log_size)
        self.reports = ReportCache(self.clock, config.cache_bytes)
        self.jobs = ReportRuns(config, self.clock)
        self.webhooks = Webhooks(config, self.clock)
        for fault in config.faults:
            self.add_fault(fault)

    def add_fault(self, raw: Mapping[str, Any]) -> Fault:
        """Put a fault in force.

        A rate limit over a period (``seconds``) becomes a block, told by the usage headers, in
        place of single errors.

        Raises ValueError: unknown kind or parameter, malformed members.
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
            accounts = list(self.nodes.sources)
        until = self.clock.time() + fault.number("seconds", 60)
        subcode = fault.params.get("subcode")
        self.throttle.blocks += [
            Block(code, subcode, until, account, _USE_CASES.get(code), fault.id)
            for account in accounts
        ]
