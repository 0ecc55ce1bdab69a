"""Report runs that fail, hang or are not known any more."""

from __future__ import annotations

from typing import Any

from meta_graph_simulator.faults.fault import Fault
from meta_graph_simulator.faults.kind import FaultKind
from meta_graph_simulator.graph.call import GraphCall
from meta_graph_simulator.graph.errors import GraphError, unsupported_get


class _Outcome(FaultKind):
    outcome = "completed"

    def report(self, fault: Fault, call: GraphCall) -> dict[str, Any]:
        return {"outcome": self.outcome, **fault.params}


class ReportFailed(_Outcome):
    """The report run ends as Job Failed, with an error of its own."""

    name = "report_failed"
    outcome = "failed"
    params = {
        "percent": "percent that it reached, 0",
        "seconds": "duration on the simulator's clock",
        "error_code": "code in the report run, 2",
        "error_subcode": "subcode, 1504044",
        "error_message": "text",
        "error_user_title": "title for people",
        "error_user_msg": "text for people",
    }


class ReportSkipped(_Outcome):
    """The report run ends as Job Skipped."""

    name = "report_skipped"
    outcome = "skipped"
    params = {"seconds": "duration on the simulator's clock"}


class ReportStuck(_Outcome):
    """The report run stays Job Running, or Job Not Started at 0 percent."""

    name = "report_stuck"
    outcome = "stuck"
    params = {"percent": "percent that it stays at, 0", "seconds": "time until there"}


class ReportHundredRunning(_Outcome):
    """The report run is at 100 percent but stays Job Running."""

    name = "report_hundred_running"
    outcome = "hundred_running"
    params = {"seconds": "duration on the simulator's clock"}


class ReportPageMissing(FaultKind):
    """A result page of a completed report says once that the report does not exist (100/33): not
    every server of Meta's knows of it yet.
    """

    name = "report_page_missing"
    params = {"first_page": "true: already the first page"}
    once_per_path = True

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        if call.edge != "report_insights":
            return None
        if not fault.params.get("first_page") and "after" not in call.params:
            return None
        return unsupported_get(call.segments[0])


class ReportVanished(FaultKind):
    """A report run is not known any more (100/33), from the start or after its first page."""

    name = "report_vanished"
    params = {"after_first_page": "true: the first result page still comes"}

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        if call.edge not in {"report_run", "report_insights"}:
            return None
        if fault.params.get("after_first_page") and "after" not in call.params:
            return None
        return unsupported_get(call.segments[0])
