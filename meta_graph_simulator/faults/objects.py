"""Objects that cannot be read, and documents of other shapes, texts and numbers than documented."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from meta_graph_simulator.faults.fault import Fault
from meta_graph_simulator.faults.kind import RAW_JSON, FaultKind, objects_of, texts
from meta_graph_simulator.faults.refusals import ERROR_PARAMS, error_of
from meta_graph_simulator.graph.call import GraphCall
from meta_graph_simulator.graph.errors import GraphError, unsupported_get
from meta_graph_simulator.graph.filtering import matches, object_lookup, parse_filtering

_IDENTIFYING = frozenset({"id", "effective_status", "status"})
_NAMES = ("name", "account_name", "campaign_name", "adset_name", "ad_name")


class UnreadableObject(FaultKind):
    """An object cannot be read with certain fields (its post is gone, it is too heavy), or at all;
    every page that holds it fails as a whole. Any code and subcode: a creative that is too heavy
    even alone has ``code`` 1, ``http_status`` 500.
    """

    name = "unreadable_object"
    params = {
        "id": "id of the object, or several",
        "fields": "only with one of these fields; an empty list: with any",
        **ERROR_PARAMS,
    }

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> GraphError | None:
        asked = set(re.findall(r"\w+", call.params.get("fields", "")))
        fields = texts(fault.params.get("fields", ["object_story_spec"]))
        if fields and not asked.intersection(fields):
            return None
        ids = set(texts(fault.params.get("id")))
        if not any(str(item.get("id")) in ids for item in objects_of(document)):
            return None
        return error_of(
            fault.params,
            code=100,
            subcode=2446289,
            message="Invalid parameter",
            is_transient=False,
            error_user_title="Creative Is Not Complete",
            error_user_msg="The post for this ad is not available. It may have been deleted or you"
            " may not have permission to see it.",
        )


class InaccessibleAd(FaultKind):
    """Insights by ad that cover one ad fail as a whole: the token cannot read it (100/33)."""

    name = "inaccessible_ad"
    params = {"ad_id": "id of the ad"}

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        ad_id = str(fault.params.get("ad_id"))
        if call.edge not in {"insights", "insights_async"} or not self._covers(call, ad_id):
            return None
        return unsupported_get(ad_id)

    def _covers(self, call: GraphCall, ad_id: str) -> bool:
        node = self.nodes.find(call.segments[0])
        ad = self.nodes.find(ad_id)
        if node is None or ad is None or ad.account_id != node.account_id:
            return False
        if (call.level or node.kind) != "ad":
            return False
        above = self.nodes.parents(ad, ad.document)
        inside = (ad_id, *(str(parent["id"]) for parent in above.values()))
        if node.kind != "account" and node.id not in inside:
            return False
        lookup = object_lookup("ad", ad.document, above)
        conditions = parse_filtering(call.params.get("filtering"))
        identifying = [c for c in conditions if c.field.rpartition(".")[2] in _IDENTIFYING]
        return all(matches(condition, lookup) for condition in identifying)


def _chosen(fault: Fault, document: Any) -> list[dict[str, Any]]:
    """The objects that a fault is about: those of its id, or all."""
    ids = texts(fault.params.get("id"))
    return [item for item in objects_of(document) if not ids or str(item.get("id")) in ids]


class OddField(FaultKind):
    """A field holds another value than documented, whatever JSON it is."""

    name = "odd_field"
    params = {"field": "name of the field", "value": "what it holds", "id": "only these objects"}

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        name = str(fault.params.get("field"))
        found = [item for item in _chosen(fault, document) if name in item]
        for item in found:
            item[name] = fault.params.get("value")
        return document if found else None


class ChangedShape(FaultKind):
    """A nested field has another shape: an object becomes a list of one, a list its first item, a
    plain value a list, or all of them null.
    """

    name = "changed_shape"
    params = {
        "field": "name of the field",
        "shape": "other or null; other",
        "id": "only these objects",
    }

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        name = str(fault.params.get("field"))
        found = [item for item in _chosen(fault, document) if name in item]
        for item in found:
            value = item[name]
            if fault.params.get("shape") == "null":
                item[name] = None
            elif isinstance(value, list):
                item[name] = value[0] if value else {}
            else:
                item[name] = [value]
        return document if found else None


_TEXTS: dict[str, Callable[[str], str]] = {
    "surrogate": lambda name: f"{name} \ud83d",
    "nul": lambda name: f"{name[:2]}\x00{name[2:]}",
    "brackets": lambda name: f"[closed] {name} [/old]",
}


class OddText(FaultKind):
    """Names with half an emoji (a lone surrogate), a NUL character, or marks in brackets."""

    name = "odd_text"
    params = {
        "variant": f"{', '.join(_TEXTS)}; surrogate",
        "fields": "names of the text fields, all names by default",
        "id": "only these objects",
    }

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        change = _TEXTS[str(fault.params.get("variant", "surrogate"))]
        names = texts(fault.params.get("fields")) or list(_NAMES)
        changed = False
        for item in _chosen(fault, document):
            for name in names:
                if isinstance(item.get(name), str):
                    item[name] = change(item[name])
                    changed = True
        return document if changed else None


class HugeNumber(FaultKind):
    """A number beyond every type: ``1e200000`` as bare JSON, where a number is documented."""

    name = "huge_number"
    params = {
        "field": "name of the field, impressions",
        "number": "1e200000",
        "id": "only these objects",
        "index": "place of the one row that has it, 0; none: every row",
    }

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        name = str(fault.params.get("field", "impressions"))
        found = [item for item in _chosen(fault, document) if name in item]
        index = fault.params.get("index", 0)
        for item in found if index is None else found[int(index) : int(index) + 1]:
            item[name] = f"{RAW_JSON}{fault.params.get('number', '1e200000')}"
        return document if found else None


class DeepNesting(FaultKind):
    """A field is a list in a list in a list, deeper than parsers go."""

    name = "deep_nesting"
    params = {"field": "name of the field, targeting", "depth": "3000", "id": "only these objects"}

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        name, depth = str(fault.params.get("field", "targeting")), int(fault.number("depth", 3000))
        found = [item for item in _chosen(fault, document) if name in item]
        for item in found:
            item[name] = f"{RAW_JSON}{'[' * depth}{']' * depth}"
        return document if found else None
