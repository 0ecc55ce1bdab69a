"""The faults in force, and the one place where they are asked about a call."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import orjson

from meta_graph_simulator.accounts.node_store import NodeStore
from meta_graph_simulator.faults.fault import Fault
from meta_graph_simulator.faults.kind import RAW_JSON, FaultKind
from meta_graph_simulator.faults.table import KINDS
from meta_graph_simulator.graph.call import Answer, GraphCall
from meta_graph_simulator.graph.errors import GraphError

_RAW = re.compile(rf'"{RAW_JSON}([^"]*)"')


class FaultRegistry:
    """The faults in force, in the order they were made. The first one that strikes wins.

    Random faults draw from a seeded generator, so a run can be repeated.
    """

    def __init__(self, seed: int, nodes: NodeStore) -> None:
        self._seed = seed
        self._numbers = itertools.count(1)
        self._faults: dict[str, Fault] = {}
        self._kinds: dict[str, FaultKind] = {name: kind(nodes) for name, kind in KINDS.items()}

    def add(self, raw: Mapping[str, Any]) -> Fault:
        """Put a fault in force.

        Raises ValueError: unknown kind or parameter, malformed members
        (``pydantic.ValidationError`` is one).
        """
        fault = Fault.model_validate(raw)
        kind = KINDS.get(fault.kind)
        if kind is None:
            raise ValueError(f"kind: {fault.kind!r} is none of {', '.join(KINDS)}")
        for name in fault.params:
            if name not in kind.params:
                known = ", ".join(kind.params) or "none"
                raise ValueError(f"params: {fault.kind} has no parameter {name!r}; it has {known}")
        for pattern in (fault.match.path or "", *fault.match.params.values()):
            re.compile(pattern)
        if fault.times_per_path is None and kind.once_per_path:
            fault.times_per_path = 1
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

    def _outcome(self, moment: str, fault: Fault, call: GraphCall, *about: Any) -> Any:
        """What a fault makes of a call at this moment; None where it does not strike."""
        if not fault.match.concerns(call):
            return None
        outcome = getattr(self._kinds[fault.kind], moment)(fault, call, *about)
        if outcome is None or not fault.fires(call):
            return None
        call.faults.append(fault.kind)
        return outcome

    def _strike(self, moment: str, call: GraphCall, *about: Any) -> Iterator[Any]:
        for fault in self.all():
            outcome = self._outcome(moment, fault, call, *about)
            if outcome is not None:
                yield outcome

    def _first(self, moment: str, call: GraphCall, *about: Any) -> Any:
        return next(self._strike(moment, call, *about), None)

    def delay(self, call: GraphCall) -> float:
        """Seconds of delay by all faults together."""
        return float(sum(self._strike("delay", call)))

    def replace(self, call: GraphCall) -> Answer | None:
        """The response in place of the call's own, None to go on."""
        found: Answer | None = self._first("replace", call)
        return found

    def refuse(self, call: GraphCall) -> None:
        """Raises GraphError: a fault refuses the call."""
        error = self._first("refuse", call)
        if error is not None:
            raise error

    def wants_rows(self, call: GraphCall) -> bool:
        """Whether a fault needs to know how many rows the result has."""
        return any(
            fault.match.concerns(call) and self._kinds[fault.kind].needs_rows(fault)
            for fault in self._faults.values()
        )

    def refuse_size(self, call: GraphCall, limit: int, rows: int | None = None) -> None:
        """Raises GraphError: a fault refuses the size of the page or of the result."""
        error = self._first("refuse_size", call, limit, rows)
        if error is not None:
            raise error

    def page_rows(self, call: GraphCall) -> int | None:
        """At most so many rows on this page; None: as many as asked for."""
        found: int | None = self._first("page_rows", call)
        return found

    def report(self, call: GraphCall) -> dict[str, Any] | None:
        """What becomes of the report run that the call creates; None: it completes."""
        found: dict[str, Any] | None = self._first("report", call)
        return found

    def rewrite(self, call: GraphCall, answer: Answer) -> Answer:
        """The response after every fault that changes documents.

        Raises GraphError: a fault refuses what is in the document.
        """
        rewriting = [
            fault
            for fault in self._faults.values()
            if type(self._kinds[fault.kind]).rewrite is not FaultKind.rewrite
        ]
        if not rewriting or not answer.content_type.startswith("application/json"):
            return answer
        document = orjson.loads(answer.body)
        changed = False
        for fault in rewriting:
            outcome = self._outcome("rewrite", fault, call, deepcopy(document))
            if isinstance(outcome, GraphError):
                raise outcome
            if outcome is not None:
                document, changed = outcome, True
        if changed:
            # The standard library writes lone surrogates as escapes, as Meta does.
            text = json.dumps(document, separators=(",", ":"))
            answer.body = _RAW.sub(r"\1", text).encode()
        return answer

    def reword(self, call: GraphCall, error: GraphError) -> GraphError:
        """The error after every fault that changes errors."""
        for fault in self.all():
            error = self._outcome("reword", fault, call, error) or error
        return error

    def send(self, call: GraphCall, answer: Answer) -> None:
        """Let a fault change how the response is sent."""
        change = self._first("send", call)
        if change is not None:
            change(answer)

    def hides_usage(self, call: GraphCall) -> bool:
        """Whether the usage headers are left out."""
        return self._first("hides_usage", call) is not None

    def skips_batch_member(self, call: GraphCall) -> bool:
        """Whether a batch member is not run."""
        return self._first("skips_batch_member", call) is not None
