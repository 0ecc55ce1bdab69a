"""One fault in force: which kind, for which calls, how often."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from meta_graph_simulator.graph.call import GraphCall


class Match(BaseModel):
    """Which calls a fault concerns; an unset member does not narrow."""

    model_config = ConfigDict(extra="forbid")

    path: str | None = Field(default=None, description="Regular expression searched in the path")
    account: str | None = Field(default=None, description="Account number, with or without act_")
    edge: str | None = Field(
        default=None, description="Edge as in the statistics: insights, campaigns, .."
    )
    method: str | None = None
    level: str | None = Field(default=None, description="Level of an insights call")
    params: dict[str, str] = Field(
        default_factory=dict, description="Regular expressions searched in parameters"
    )
    batch: bool | None = Field(default=None, description="Only batch members, or only direct calls")

    def concerns(self, call: GraphCall) -> bool:
        """Whether the call fits every set member. A whole batch is struck only by its name."""
        if call.edge == "batch" and self.edge != "batch":
            return False
        return (
            (self.path is None or re.search(self.path, call.path) is not None)
            and (self.account is None or self.account.removeprefix("act_") == call.account_id)
            and (self.edge is None or self.edge == call.edge)
            and (self.method is None or self.method.upper() == call.method)
            and (self.level is None or self.level == call.level)
            and (self.batch is None or self.batch == call.in_batch)
            and all(
                re.search(pattern, call.params.get(name, "")) is not None
                for name, pattern in self.params.items()
            )
        )


class Fault(BaseModel):
    """One fault with its counters."""

    model_config = ConfigDict(extra="forbid")

    id: str = ""
    kind: str
    match: Match = Field(default_factory=Match)
    probability: float = Field(default=1.0, ge=0, le=1)
    times: int | None = Field(
        default=None, ge=0, description="Fires at most so often; None: no end"
    )
    times_per_path: int | None = Field(
        default=None, ge=0, description="Fires at most so often for each path, so for each report"
    )
    after: int = Field(default=0, ge=0, description="Matching calls that are spared first")
    params: dict[str, Any] = Field(default_factory=dict)
    seen: int = 0
    fired: int = 0
    _random: random.Random = PrivateAttr(default_factory=random.Random)
    _by_path: Counter[str] = PrivateAttr(default_factory=Counter)

    def seed(self, value: str) -> None:
        """Make the draws repeatable."""
        self._random = random.Random(value)  # noqa: S311 - faults need repeatability

    def draw(self) -> float:
        """A number from 0 to 1, the same with the same seed."""
        return self._random.random()

    def number(self, name: str, default: float) -> float:
        """A numeric parameter."""
        return float(self.params.get(name, default))

    def fires(self, call: GraphCall) -> bool:
        """Whether the fault strikes a call that it concerns; counts it."""
        if self.times is not None and self.fired >= self.times:
            return False
        if self.times_per_path is not None and self._by_path[call.path] >= self.times_per_path:
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        if self.probability < 1.0 and self.draw() >= self.probability:
            return False
        self.fired += 1
        self._by_path[call.path] += 1
        return True
