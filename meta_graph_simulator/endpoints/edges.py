"""Entity edges: lists of campaigns, ad sets, ads and creatives under an object."""

from __future__ import annotations

import itertools
from typing import Any

from meta_graph_simulator.accounts.node_store import EDGES, REMOVED, Node
from meta_graph_simulator.accounts.source import Document, Kind
from meta_graph_simulator.endpoints.nodes import NodeReader
from meta_graph_simulator.endpoints.state import Simulator
from meta_graph_simulator.graph.call import GraphCall
from meta_graph_simulator.graph.errors import bad_cursor, invalid_parameter
from meta_graph_simulator.graph.fields import FieldSpec, parse_fields, parse_flag, parse_list
from meta_graph_simulator.graph.filtering import (
    checked_statuses,
    matches,
    object_lookup,
    parse_filtering,
)
from meta_graph_simulator.graph.paging import PageRequest, encode_cursor, paging_links

_START = "start"  # cursor before the first object
_nonces = itertools.count(1)


class EntityEdges:
    """Lists objects with filters, fields and cursors."""

    def __init__(self, simulator: Simulator, reader: NodeReader) -> None:
        self._simulator = simulator
        self._reader = reader

    def page(self, call: GraphCall, node: Node, kind: Kind) -> dict[str, Any]:
        """One page of an edge.

        Archived and deleted objects are in it only if a status filter names them.

        Raises GraphError: 100 for bad parameters and fields, 2642 for a bad cursor.
        """
        config = self._simulator.config
        params = call.params
        specs = parse_fields(params.get("fields"))
        everything = self._simulator.nodes.children(node, kind)
        self._reader.check(call, kind, specs, everything[0] if everything else {})
        wanted = self._filtered(node, kind, everything, params)
        request = PageRequest.from_params(params, config.default_limit, config.max_limit)
        start, stop = request.window(
            _position(request.after, wanted, everything, before=False),
            _position(request.before, wanted, everything, before=True),
        )
        whole_stop = min(stop, len(wanted))
        faults = self._simulator.faults
        faults.refuse_size(call, request.limit, len(wanted))
        at_most = faults.page_rows(call)
        stop = whole_stop if at_most is None else min(whole_stop, start + at_most)
        documents = wanted[start:stop]
        data = [
            self._reader.project(
                call, Node(kind, str(doc["id"]), doc, node.source, node.account_id), specs
            )
            for doc in documents
        ]
        call.rows += len(data)
        answer: dict[str, Any] = {"data": data}
        if data or stop < whole_stop:
            answer["paging"] = paging_links(
                call.base_url,
                call.versioned_path,
                params,
                call.token,
                limit=request.limit,
                first=_cursor(wanted, start),
                last=_cursor(wanted, stop - 1, fresh=not data),
                has_next=stop < len(wanted),
                has_previous=start > 0 and bool(data),
            )
        summary = _summary(params, len(wanted))
        if summary is not None:
            answer["summary"] = summary
        return answer

    def _filtered(
        self, node: Node, kind: Kind, documents: list[Document], params: dict[str, str]
    ) -> list[Document]:
        conditions = parse_filtering(params.get("filtering"))
        asked = parse_list(params.get("effective_status"), "effective_status")
        statuses = checked_statuses(asked)
        configured = parse_list(params.get("configured_status"), "configured_status")
        if self._simulator.config.refuse_deleted_filter and "DELETED" in statuses:
            raise invalid_parameter(
                "Cannot ask for deleted objects on this edge; read them by id.",
                subcode=1815001,
                blame=["effective_status"],
            )
        shows_removed = bool(statuses or configured) or any(
            condition.is_status and condition.field.rpartition(".")[0] in ("", kind)
            for condition in conditions
        )
        wanted = []
        for doc in documents:
            status = doc.get("effective_status") or doc.get("status")
            if not shows_removed and status in REMOVED:
                continue
            if statuses and status not in statuses:
                continue
            if configured and doc.get("configured_status", doc.get("status")) not in configured:
                continue
            if conditions:
                lookup = object_lookup(kind, doc, self._simulator.nodes.parents(node, doc))
                if not all(matches(condition, lookup) for condition in conditions):
                    continue
            wanted.append(doc)
        return wanted

    def expand(self, call: GraphCall, node: Node, spec: FieldSpec) -> dict[str, Any] | None:
        """First page of an edge inside a field list (``adsets.limit(5){id}``); None if empty."""
        nested = _nested_call(call, node, spec)
        page = self.page(nested, node, EDGES[node.kind][spec.name])
        return page if page["data"] else None


def _nested_call(call: GraphCall, node: Node, spec: FieldSpec) -> GraphCall:
    params = dict(spec.modifiers)
    params["fields"] = fields_text(spec.children or [])
    return GraphCall(
        method="GET",
        segments=(node.id, spec.name),
        params=params,
        base_url=call.base_url,
        version=call.version,
        token=call.token,
        served_version=call.served_version,
    )


def fields_text(specs: list[FieldSpec]) -> str:
    """A field list in the grammar it was parsed from."""
    parts = []
    for spec in specs:
        modifiers = "".join(f".{name}({value})" for name, value in spec.modifiers.items())
        children = "" if spec.children is None else "{" + fields_text(spec.children) + "}"
        parts.append(f"{spec.name}{modifiers}{children}")
    return ",".join(parts)


def _position(
    key: str | None, wanted: list[Document], everything: list[Document], *, before: bool
) -> int | None:
    """Where a cursor's object stands in the filtered list.

    An object that left the list since (archived, filtered out) still marks its place.
    """
    if key is None:
        return None
    key = key.partition("~")[0]
    if key == _START:
        return 0 if before else -1
    for index, doc in enumerate(wanted):
        if doc["id"] == key:
            return index
    order = {str(doc["id"]): index for index, doc in enumerate(everything)}
    if key not in order:
        raise bad_cursor()
    following = (i for i, doc in enumerate(wanted) if order[str(doc["id"])] > order[key])
    place = next(following, len(wanted))
    return place if before else place - 1


def _cursor(wanted: list[Document], index: int, *, fresh: bool = False) -> str:
    key = str(wanted[index]["id"]) if index >= 0 else _START
    # An empty page moves on too: its cursor is never the one that led to it.
    return encode_cursor(f"{key}~{next(_nonces)}" if fresh else key)


def _summary(params: dict[str, str], total: int) -> dict[str, int] | None:
    text = params.get("summary")
    if not text or text in {"false", "0"}:
        return None
    if parse_flag(text):
        return {"total_count": total}
    names = parse_list(text, "summary")
    for name in names:
        if name != "total_count":
            raise invalid_parameter(
                f"Cannot include {name} in summary param because they weren't there while"
                " creating the report run."
            )
    return {"total_count": total} if names else None
