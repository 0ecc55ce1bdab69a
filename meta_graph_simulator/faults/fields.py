"""Fields and filters that are refused: gone from the API, without permission, not fetchable."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from meta_graph_simulator.faults.fault import Fault
from meta_graph_simulator.faults.kind import FaultKind, texts
from meta_graph_simulator.faults.refusals import ERROR_PARAMS, error_of
from meta_graph_simulator.graph.call import GraphCall
from meta_graph_simulator.graph.errors import GraphError
from meta_graph_simulator.graph.fields import parse_list
from meta_graph_simulator.graph.filtering import STATUSES, parse_filtering

_AND = " and "
_GONE: dict[str, Callable[[Sequence[str]], str]] = {
    "plural": lambda names: (
        f"(#100) {', '.join(names)} {'is' if len(names) == 1 else 'are'} not valid for fields"
        " param after V27.0"
    ),
    "nonexisting": lambda names: (
        f"(#100) Tried accessing nonexisting field ({names[0]}) on node type (AdsInsights)"
    ),
    "words": lambda names: (
        f"(#100) {_AND.join(name.replace('_', ' ').capitalize() for name in names)} can no longer"
        " be requested"
    ),
    "nameless": lambda names: "(#100) Invalid parameter",  # noqa: ARG005
}
_PERMISSIONS: dict[str, Callable[[Sequence[str]], str]] = {
    "nameless": lambda names: "Missing perms",  # noqa: ARG005
    "application": lambda names: "Application does not have permission for this action",  # noqa: ARG005
    "named": lambda names: (
        f"Requires pages_read_engagement permission to access field '{names[0]}'"
    ),
    "plural": lambda names: f"Missing permissions for the fields {', '.join(names)}",
}


def _asked(fault: Fault, call: GraphCall) -> list[str]:
    """The fault's fields that the call asks for, at any depth."""
    named = [*texts(fault.params.get("fields")), *texts(fault.params.get("field"))]
    asked = set(re.findall(r"\w+", call.params.get("fields", "")))
    return [name for name in named if name in asked]


class UnfetchableField(FaultKind):
    """A field cannot be fetched; by default in words that name it."""

    name = "unfetchable_field"
    params = {"field": "name of the field", **ERROR_PARAMS}

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        names = _asked(fault, call)
        if not names:
            return None
        return error_of(fault.params, code=100, message=f"(#100) Cannot fetch field ({names[0]})")


class RefusedFields(FaultKind):
    """One or several fields are gone: named with commas, as words without underscores, one at a
    time, or not at all.
    """

    name = "refused_fields"
    params = {
        "fields": "names of the fields",
        "wording": f"{', '.join(_GONE)}; plural",
        "blame": "true: error_data names the places in the list of fields",
    }

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        names = _asked(fault, call)
        if not names:
            return None
        data = None
        if fault.params.get("blame"):
            places = [index for index, name in enumerate(call.fields) if name in names]
            data = {"blame_field_specs": [[f"fields[{place}]"] for place in places]}
        wording = _GONE[str(fault.params.get("wording", "plural"))]
        return GraphError(100, wording(names), error_data=data)


class MissingPermission(FaultKind):
    """The token lacks a permission for some fields; Meta may not say which, nor for what."""

    name = "missing_permission"
    params = {
        "fields": "names of the fields",
        "code": "3, 10, 100 or 200 to 299; 100",
        "subcode": "subcode, for instance 3191001",
        "wording": f"{', '.join(_PERMISSIONS)}; nameless",
        "http_status": "400",
    }

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        names = _asked(fault, call)
        if not names:
            return None
        code = int(fault.params.get("code", 100))
        text = _PERMISSIONS[str(fault.params.get("wording", "nameless"))](names)
        error = {name: fault.params.get(name) for name in ("subcode",)}
        status = fault.params.get("http_status", 400)
        return error_of(error, code=code, message=f"(#{code}) {text}", http_status=status)


class RefusedFilterValue(FaultKind):
    """A value is no longer allowed in ``effective_status`` or ``filtering`` (statuses come and
    go with versions).
    """

    name = "refused_filter_value"
    params = {"value": "the value, DELETED", "subcode": "subcode, 1815001"}

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        value = str(fault.params.get("value", "DELETED"))
        place = None
        statuses = parse_list(call.params.get("effective_status"), "effective_status")
        if value in statuses:
            place = f"effective_status[{statuses.index(value)}]"
        for index, condition in enumerate(parse_filtering(call.params.get("filtering"))):
            if value in texts(condition.value):
                place = f"filtering[{index}][value]"
        if place is None:
            return None
        allowed = ", ".join(status for status in STATUSES if status != value)
        return GraphError(
            100,
            f'(#100) Param {place} must be one of {{{allowed}}} - got "{value}".',
            subcode=int(fault.params.get("subcode", 1815001)),
            error_data={"blame_field_specs": [[place.partition("[")[0]]]},
        )


class RefusedFilter(FaultKind):
    """A filter is refused as a whole, whatever its values."""

    name = "refused_filter"
    params = {"field": "field of the filter (ad.effective_status); any filter by default"}

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        wanted = fault.params.get("field")
        names = [condition.field for condition in parse_filtering(call.params.get("filtering"))]
        if call.params.get("effective_status"):
            names.append("effective_status")
        name = next((name for name in names if wanted in (None, name)), None)
        if name is None:
            return None
        text = f"(#100) Filtering field {name} with operation in is not supported"
        return GraphError(100, text, error_data={"blame_field_specs": [["filtering"]]})
