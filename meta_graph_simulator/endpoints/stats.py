"""What was called: counters and a log without secrets, to measure what a client costs."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from meta_graph_simulator.graph.call import Answer, GraphCall


@dataclass(slots=True)
class LoggedCall:
    """One counted call. ``at`` is simulated Unix time, ``ms`` real processing time."""

    number: int
    at: float
    method: str
    path: str
    edge: str
    account_id: str | None
    level: str | None
    status: int
    error_code: int | None
    error_subcode: int | None
    rows: int
    bytes: int
    ms: float
    in_batch: bool
    faulted: str | None
    params: dict[str, str]

    def document(self) -> dict[str, Any]:
        """The call as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


_BROKEN = frozenset({"html", "reset", "truncate"})


class Statistics:
    """Counters since the start or the last reset.

    ``calls`` is what Meta would count: batch members are counted, the batch around them is not.
    ``http_requests`` counts what came over the wire.
    """

    def __init__(self, log_size: int) -> None:
        self._log: deque[LoggedCall] = deque(maxlen=log_size)
        self.clear()

    def clear(self) -> None:
        """Start counting at zero."""
        self._log.clear()
        self.calls = 0
        self.http_requests = 0
        self.batches = 0
        self.rows = 0
        self.bytes = 0
        self._by: dict[str, Counter[str]] = {
            name: Counter() for name in ("edge", "account", "status", "error", "fault", "method")
        }
        self._edges: dict[str, Counter[str]] = {}

    def record(self, call: GraphCall, answer: Answer, *, at: float, ms: float) -> None:
        """Count one call and remember it. Parameters hold no token: routing took it out."""
        self.calls += 1
        self.rows += call.rows
        self.bytes += len(answer.body)
        self._by["edge"][call.edge] += 1
        self._by["method"][call.method] += 1
        self._by["status"][str(answer.status)] += 1
        if call.account_id is not None:
            self._by["account"][call.account_id] += 1
        if answer.error_code is not None:
            code = str(answer.error_code)
            if answer.error_subcode is not None:
                code += f"/{answer.error_subcode}"
            self._by["error"][code] += 1
        self._by["fault"].update(call.faults)
        edge = self._edges.setdefault(call.edge, Counter())
        edge["calls"] += 1
        edge["rows"] += call.rows
        edge["failed"] += answer.error_code is not None or not _BROKEN.isdisjoint(call.faults)
        self._log.append(
            LoggedCall(
                number=self.calls,
                at=at,
                method=call.method,
                path=call.path,
                edge=call.edge,
                account_id=call.account_id,
                level=call.level,
                status=answer.status,
                error_code=answer.error_code,
                error_subcode=answer.error_subcode,
                rows=call.rows,
                bytes=len(answer.body),
                ms=round(ms, 3),
                in_batch=call.in_batch,
                faulted=",".join(call.faults) or None,
                params=_loggable(call.params),
            )
        )

    def document(self) -> dict[str, Any]:
        """All counters as JSON."""
        return {
            "calls": self.calls,
            "http_requests": self.http_requests,
            "batches": self.batches,
            "rows": self.rows,
            "bytes": self.bytes,
            **{f"by_{name}": dict(counter) for name, counter in self._by.items()},
            "edges": {name: dict(counter) for name, counter in self._edges.items()},
        }

    def log(self, since: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """Calls numbered above ``since``, oldest first."""
        newer = (call for call in self._log if call.number > since)
        return [call.document() for _, call in zip(range(limit), newer, strict=False)]


_SECRET = frozenset({"fb_exchange_token", "client_secret", "input_token", "verify_token"})


def _loggable(params: dict[str, str]) -> dict[str, str]:
    return {
        name: "***" if name in _SECRET else value[:500]
        for name, value in params.items()
        if name != "batch"
    }
