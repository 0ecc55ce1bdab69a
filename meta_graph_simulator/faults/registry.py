"""Faults on demand: what goes wrong, for which calls, how often.

A fault is ``{kind, match, probability | times | after, params}``. ``match`` narrows it by regular
expressions on the path (``/act_1/insights``) and on parameters, by account, edge, method and
level. Random faults draw from a seeded generator, so a run can be repeated.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from meta_graph_simulator.graph.call import GraphCall
from meta_graph_simulator.graph.errors import (
    GraphError,
    invalid_token,
    rate_limit,
    too_much_data,
    transient,
)

FaultKind = Literal[
    "latency",  # ms, jitter_ms
    "rate_limit",  # code, subcode; with seconds: a block from now on
    "transient",  # code (1, 2, 960, ...), subcode, http_status
    "error",  # code, subcode, message, type, http_status, is_transient, error_user_msg
    "html",  # http_status: an HTML page instead of JSON
    "reset",  # fraction of the body sent before the TCP reset; before_answer: nothing is sent
    "truncate",  # fraction of the JSON sent, with status 200 and a fitting Content-Length
    "token",  # subcode of code 190
    "invalid_cursor",  # 2642 on calls that carry a cursor
    # max_rows of the result, max_limit of the page, max_cells: rows x fields; none: always.
    # field: only with that field. variant
    "reduce_data",
    "unfetchable_field",  # field; code, subcode, message, http_status
    "inaccessible_ad",  # ad_id: level=ad insights that cover it fail with 100/33
    "empty_page",  # no rows though ``next`` is there
    "short_page",  # rows
    "no_usage_headers",
    "job_failed",  # percent, error_code, error_subcode, error_message
    "job_skipped",
    "job_stuck",  # percent; 0 stays Not Started
    "job_hundred_running",  # 100 percent but still running
    "null_batch_item",  # the member was not run
]
KINDS: tuple[str, ...] = get_args(FaultKind)
ERROR_KINDS = frozenset({"transient", "error", "token", "rate_limit", "invalid_cursor"})
JOB_KINDS = frozenset({"job_failed", "job_skipped", "job_stuck", "job_hundred_running"})


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
    kind: FaultKind
    match: Match = Field(default_factory=Match)
    probability: float = Field(default=1.0, ge=0, le=1)
    times: int | None = Field(
        default=None, ge=0, description="Fires at most so often; None: no end"
    )
    after: int = Field(default=0, ge=0, description="Matching calls that are spared first")
    params: dict[str, Any] = Field(default_factory=dict)
    seen: int = 0
    fired: int = 0
    _random: random.Random = PrivateAttr(default_factory=random.Random)

    def seed(self, value: str) -> None:
        """Make the draws of ``probability`` repeatable."""
        self._random = random.Random(value)  # noqa: S311 - faults need repeatability

    def number(self, name: str, default: float) -> float:
        """A numeric parameter."""
        return float(self.params.get(name, default))

    def fires(self, call: GraphCall) -> bool:
        """Whether the fault strikes this call; counts it."""
        if not self.match.concerns(call) or (self.times is not None and self.fired >= self.times):
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        if self.probability < 1.0 and self._random.random() >= self.probability:
            return False
        self.fired += 1
        return True


class FaultRegistry:
    """The faults in force."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers = itertools.count(1)
        self._faults: dict[str, Fault] = {}

    def add(self, raw: Mapping[str, Any]) -> Fault:
        """Put a fault in force.

        Raises pydantic.ValidationError: unknown kind or malformed members.
        """
        fault = Fault.model_validate(raw)
        re.compile(fault.match.path or "")
        number = next(self._numbers)
        fault.id = fault.id or f"fault-{number}"
        fault.seed(f"{self._seed}/{number}")
        self._faults[fault.id] = fault
        return fault

    def remove(self, fault_id: str) -> bool:
        """Lift one fault; False if there is none of that id."""
        return self._faults.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Lift all faults."""
        self._faults.clear()

    def all(self) -> list[Fault]:
        """Faults in force, in the order they were made."""
        return list(self._faults.values())

    def first(
        self,
        kinds: Collection[str],
        call: GraphCall,
        condition: Callable[[Fault], bool] | None = None,
    ) -> Fault | None:
        """The first fault of the kinds that strikes the call now."""
        if not self._faults:
            return None
        for fault in self._faults.values():
            if (
                fault.kind in kinds
                and (condition is None or condition(fault))
                and fault.fires(call)
            ):
                return fault
        return None

    def latency(self, call: GraphCall) -> float:
        """Seconds of delay by all latency faults that strike the call."""
        total = 0.0
        for fault in self._faults.values():
            if fault.kind == "latency" and fault.fires(call):
                total += fault.number("ms", 100)
                total += fault.number("jitter_ms", 0) * fault._random.random()
        return total / 1000

    def error(self, call: GraphCall) -> GraphError | None:
        """The error that a fault answers the call with, None if none does."""

        def has_cursor(fault: Fault) -> bool:
            cursor = "after" in call.params or "before" in call.params
            return fault.kind != "invalid_cursor" or cursor

        fault = self.first(ERROR_KINDS, call, has_cursor)
        return None if fault is None else _error_of(fault)

    def unfetchable_field(self, call: GraphCall, names: Collection[str]) -> GraphError | None:
        """The error of a field that cannot be fetched, if it is among the names asked for."""
        fault = self.first(
            {"unfetchable_field"}, call, lambda fault: fault.params.get("field") in names
        )
        if fault is None:
            return None
        params = {
            "code": 100,
            "message": f"(#100) Cannot fetch field ({fault.params['field']})",
            **fault.params,
        }
        return _generic(params)

    def too_much_data(
        self,
        call: GraphCall,
        *,
        fields: Collection[str] = (),
        limit: int | None = None,
        rows: int | None = None,
    ) -> GraphError | None:
        """The "reduce the amount of data" error, by size of page or result, by field, or always.

        Called with ``rows`` once these are known, with ``limit`` before.
        """

        def condition(fault: Fault) -> bool:
            params = fault.params
            if "field" in params and params["field"] not in fields:
                return False
            if rows is not None:
                by_rows = "max_rows" in params and rows > int(params["max_rows"])
                cells = rows * len(fields)
                return by_rows or ("max_cells" in params and cells > int(params["max_cells"]))
            if "max_limit" in params:
                return limit is not None and limit > int(params["max_limit"])
            return "max_rows" not in params and "max_cells" not in params

        fault = self.first({"reduce_data"}, call, condition)
        return None if fault is None else too_much_data(str(fault.params.get("variant", "1")))

    def has_row_limit(self) -> bool:
        """Whether a fault needs to know how many rows a result has."""
        return any(
            fault.kind == "reduce_data" and not {"max_rows", "max_cells"}.isdisjoint(fault.params)
            for fault in self._faults.values()
        )


def _error_of(fault: Fault) -> GraphError:
    params = fault.params
    subcode = None if params.get("subcode") is None else int(params["subcode"])
    if fault.kind == "rate_limit":
        return rate_limit(int(params.get("code", 17)), subcode)
    if fault.kind == "token":
        return invalid_token(460 if subcode is None else subcode)
    if fault.kind == "transient":
        status = int(params.get("http_status", 500))
        return transient(int(params.get("code", 2)), http_status=status, subcode=subcode)
    if fault.kind == "invalid_cursor":
        return GraphError(2642, "(#2642) Invalid cursors values")
    return _generic(params)


def _generic(params: Mapping[str, Any]) -> GraphError:
    code = int(params.get("code", 1))
    return GraphError(
        code,
        str(params.get("message", "An unknown error occurred")),
        subcode=params.get("subcode"),
        type_=params.get("type", "OAuthException"),
        http_status=int(params.get("http_status", 400)),
        is_transient=params.get("is_transient"),
        user_title=params.get("error_user_title"),
        user_msg=params.get("error_user_msg"),
    )
