"""Pages and sizes: too much data, short, empty and endless pages, stale cursors."""

from __future__ import annotations

import json
from typing import Any

from meta_graph_simulator.faults.dates import requested_days
from meta_graph_simulator.faults.fault import Fault
from meta_graph_simulator.faults.kind import FaultKind
from meta_graph_simulator.graph.call import Answer, GraphCall
from meta_graph_simulator.graph.errors import GraphError, bad_cursor, too_much_data
from meta_graph_simulator.graph.paging import encode_cursor

_ENDLESS = encode_cursor("endless")


class ReduceData(FaultKind):
    """Too much data is asked for: by the page's limit, the result's rows or cells (rows x fields),
    the days, or a field; always without any of these. In any words: ``message``.
    """

    name = "reduce_data"
    params = {
        "max_limit": "largest limit of a page",
        "max_rows": "largest number of rows of the whole result",
        "max_cells": "largest number of rows x fields",
        "max_days": "longest time range",
        "field": "only calls that ask for this field",
        "variant": "1 (HTTP 500, code 1) or 1487534 (code 100); 1",
        "message": "another text, for instance in another language",
    }

    def needs_rows(self, fault: Fault) -> bool:
        return not {"max_rows", "max_cells"}.isdisjoint(fault.params)

    def refuse_size(
        self, fault: Fault, call: GraphCall, limit: int, rows: int | None
    ) -> GraphError | None:
        params = fault.params
        if "field" in params and params["field"] not in call.fields:
            return None
        limits = [name for name in self.params if name.startswith("max_") and name in params]
        amounts = {
            "max_limit": limit,
            "max_rows": rows or 0,
            "max_cells": (rows or 0) * len(call.fields),
            "max_days": requested_days(call) or 0,
        }
        if limits and not any(amounts[name] > int(params[name]) for name in limits):
            return None
        error = too_much_data(str(params.get("variant", "1")))
        if "message" in params:
            error.message = str(params["message"])
        return error


class EmptyPage(FaultKind):
    """A page without rows though ``next`` is there."""

    name = "empty_page"

    def page_rows(self, fault: Fault, call: GraphCall) -> int:
        return 0


class ShortPage(FaultKind):
    """A page with fewer rows than asked for though more follow."""

    name = "short_page"
    params = {"rows": "rows on the page, 1"}

    def page_rows(self, fault: Fault, call: GraphCall) -> int:
        return int(fault.number("rows", 1))


class InvalidCursor(FaultKind):
    """Code 2642 on a call that carries a cursor: the list has moved on."""

    name = "invalid_cursor"

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        return bad_cursor() if "after" in call.params or "before" in call.params else None


class EndlessPages(FaultKind):
    """The list never ends: after its last row every page is empty, with a ``next``."""

    name = "endless_pages"

    def replace(self, fault: Fault, call: GraphCall) -> Answer | None:
        cursor = call.params.get("after", "")
        if not cursor.startswith(_ENDLESS):
            return None
        turn = int(cursor.removeprefix(_ENDLESS) or 0) + 1
        return Answer.json({"data": [], "paging": self._paging(call, turn)})

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        if not isinstance(document, dict) or "data" not in document:
            return None
        if len(call.segments) < 2 or "next" in document.get("paging", {}):
            return None
        if call.params.get("after", "").startswith(_ENDLESS):
            return None
        return document | {"paging": self._paging(call, 1)}

    @staticmethod
    def _paging(call: GraphCall, turn: int) -> dict[str, Any]:
        cursor = f"{_ENDLESS}{turn}"
        link = f"{call.base_url}{call.versioned_path}?after={cursor}"
        return {"cursors": {"before": cursor, "after": cursor}, "next": link}


class NullObject(FaultKind):
    """A null among the objects of a page: one that Meta could not load."""

    name = "null_object"
    params = {"index": "place on the page, 1; the last one at most"}

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        data = document.get("data") if isinstance(document, dict) else None
        if not isinstance(data, list) or not data:
            return None
        place = min(int(fault.number("index", 1)), len(data) - 1)
        return document | {"data": [*data[:place], None, *data[place + 1 :]]}


class ListedTwice(FaultKind):
    """The last object of a page is there once more, as when a list moves while it is read."""

    name = "listed_twice"

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        data = document.get("data") if isinstance(document, dict) else None
        if not isinstance(data, list) or not data:
            return None
        return document | {"data": [*data, json.loads(json.dumps(data[-1]))]}
