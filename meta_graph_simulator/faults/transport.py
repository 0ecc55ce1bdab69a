"""Trouble on the wire: slow, broken and missing responses."""

from __future__ import annotations

from collections.abc import Callable

from meta_graph_simulator.faults.fault import Fault
from meta_graph_simulator.faults.kind import FaultKind
from meta_graph_simulator.graph.call import Answer, GraphCall

_HTML = (
    b"<!DOCTYPE html><html><head><title>Facebook | Error</title></head><body><h1>Sorry, something"
    b" went wrong.</h1><p>We're working on it and we'll get it fixed as soon as we can.</p></body>"
    b"</html>"
)


class Latency(FaultKind):
    """The response takes longer."""

    name = "latency"
    params = {"ms": "milliseconds, 100", "jitter_ms": "up to so many more, at random"}

    def delay(self, fault: Fault, call: GraphCall) -> float:
        return (fault.number("ms", 100) + fault.number("jitter_ms", 0) * fault.draw()) / 1000


class Html(FaultKind):
    """An HTML page instead of JSON, as load balancers send it."""

    name = "html"
    params = {"http_status": "500; 200 happens, too"}

    def replace(self, fault: Fault, call: GraphCall) -> Answer:
        status = int(fault.number("http_status", 500))
        return Answer(status, _HTML, content_type="text/html; charset=utf-8")


class Reset(FaultKind):
    """The connection is reset (TCP RST) in the middle of the body, or before anything is sent."""

    name = "reset"
    params = {"fraction": "share of the body that is sent first, 0.5", "before_answer": "true"}

    def replace(self, fault: Fault, call: GraphCall) -> Answer | None:
        if not fault.params.get("before_answer"):
            return None
        answer = Answer(200, b"")
        answer.reset_after = -1.0
        return answer

    def send(self, fault: Fault, call: GraphCall) -> Callable[[Answer], None] | None:
        if fault.params.get("before_answer"):
            return None
        share = min(0.99, max(0.0, fault.number("fraction", 0.5)))

        def change(answer: Answer) -> None:
            answer.reset_after = share

        return change


class Truncate(FaultKind):
    """Half a JSON document with status 200 and a fitting Content-Length."""

    name = "truncate"
    params = {"fraction": "share of the body that is sent, 0.5"}

    def send(self, fault: Fault, call: GraphCall) -> Callable[[Answer], None]:
        share = min(0.99, fault.number("fraction", 0.5))

        def change(answer: Answer) -> None:
            answer.body, answer.status = answer.body[: int(len(answer.body) * share)], 200

        return change


class NoUsageHeaders(FaultKind):
    """The usage headers are missing."""

    name = "no_usage_headers"

    def hides_usage(self, fault: Fault, call: GraphCall) -> bool:
        return True


class NullBatchItem(FaultKind):
    """A member of a batch was not run: null in its place."""

    name = "null_batch_item"

    def skips_batch_member(self, fault: Fault, call: GraphCall) -> bool:
        return True
