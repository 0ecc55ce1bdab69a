"""Reading one object: field selection, nested expansion, refusal of unknown fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from meta_graph_simulator.accounts.node_store import EDGES, Node, NodeStore
from meta_graph_simulator.graph.call import GraphCall
from meta_graph_simulator.graph.errors import nonexisting_field
from meta_graph_simulator.graph.fields import NODE_TYPES, FieldSpec, exists, pick, version_number

# Expands an edge inside a field list: (call, node, field) -> the edge's document, None if empty.
EdgeExpander = Callable[[GraphCall, Node, FieldSpec], dict[str, Any] | None]
_REFERENCES = {
    "adset": ("adset", "adset_id"),
    "campaign": ("campaign", "campaign_id"),
    "account": ("account", "account_id"),
}
_INSIGHTS_KINDS = frozenset({"account", "campaign", "adset", "ad"})
_DEFAULTS: dict[str, tuple[str, ...]] = {"account": ("account_id",)}


class NodeReader:
    """Projects documents on the fields asked for."""

    def __init__(self, nodes: NodeStore, expand_edge: EdgeExpander) -> None:
        self._nodes = nodes
        self._expand_edge = expand_edge

    def check(
        self, call: GraphCall, kind: str, specs: list[FieldSpec], document: Mapping[str, Any]
    ) -> None:
        """Refuse fields that the node type does not have in the call's version with code 100."""
        version = version_number(call.served_version or "v26.0")
        for spec in specs:
            if (
                exists(kind, spec.name, version)
                or spec.name in document
                or _is_edge(kind, spec.name)
            ):
                continue
            raise nonexisting_field(spec.name, NODE_TYPES[kind])

    def read(self, call: GraphCall, node: Node, specs: list[FieldSpec]) -> dict[str, Any]:
        """One object with the fields asked for, fields without a value left out.

        Raises GraphError: code 100 for a field that the node type does not have.
        """
        self.check(call, node.kind, specs, node.document)
        return self.project(call, node, specs)

    def project(self, call: GraphCall, node: Node, specs: list[FieldSpec]) -> dict[str, Any]:
        """As ``read``, for fields that are known to exist."""
        document = node.document
        names = [spec.name for spec in specs] or _DEFAULTS.get(node.kind, ())
        if not any(self._is_special(node.kind, spec) for spec in specs):
            found = {name: document[name] for name in names if document.get(name) is not None}
        else:
            found = {}
            for spec in specs:
                value = self._value(call, node, spec)
                if value is not None:
                    found[spec.name] = value
        found["id"] = node.id
        return found

    @staticmethod
    def _is_special(kind: str, spec: FieldSpec) -> bool:
        return (
            spec.children is not None
            or bool(spec.modifiers)
            or spec.name == "creative"
            or spec.name in _REFERENCES
            or _is_edge(kind, spec.name)
        )

    def _value(self, call: GraphCall, node: Node, spec: FieldSpec) -> Any:
        if _is_edge(node.kind, spec.name):
            return self._expand_edge(call, node, spec)
        if spec.name == "creative" and node.kind == "ad":
            creative = node.document.get("creative")
            return None if creative is None else self._reference(call, str(creative["id"]), spec)
        if spec.name in _REFERENCES and spec.name != node.kind:
            kind, key = _REFERENCES[spec.name]
            value = node.document.get(key)
            if value is None:
                return None
            return self._reference(call, f"act_{value}" if kind == "account" else str(value), spec)
        return pick(node.document.get(spec.name), spec.children)

    def _reference(self, call: GraphCall, object_id: str, spec: FieldSpec) -> dict[str, Any] | None:
        if spec.children is None:
            return {"id": object_id}
        target = self._nodes.find(object_id)
        return None if target is None else self.read(call, target, spec.children)


def _is_edge(kind: str, name: str) -> bool:
    return name in EDGES.get(kind, {}) or (name == "insights" and kind in _INSIGHTS_KINDS)
