"""What becomes of accounts and tokens: lost, refused, of the wrong kind, in no timezone."""

from __future__ import annotations

from typing import Any

from meta_graph_simulator.faults.fault import Fault
from meta_graph_simulator.faults.kind import FaultKind, objects_of
from meta_graph_simulator.faults.refusals import ERROR_PARAMS, error_of
from meta_graph_simulator.graph.call import GraphCall
from meta_graph_simulator.graph.errors import GraphError, nonexisting_field, unsupported_get


def _not_granted(fault: Fault) -> GraphError:
    code = int(fault.params.get("code", 200))
    text = f"(#{code}) Ad account owner has NOT grant ads_management or ads_read permission"
    return error_of(fault.params, code=code, message=text, http_status=403)


class AccountLost(FaultKind):
    """The token lost an account: it is no longer listed, and everything of it is refused."""

    name = "account_lost"
    params = {"account": "account number", **ERROR_PARAMS}

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        number = str(fault.params.get("account", "")).removeprefix("act_")
        if call.account_id != number:
            return None
        if fault.params.get("code") == 100:
            return unsupported_get(call.segments[0])
        return _not_granted(fault)

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        number = str(fault.params.get("account", "")).removeprefix("act_")
        if not call.edge.endswith("adaccounts"):
            return None
        kept = [item for item in document["data"] if item["id"] != f"act_{number}"]
        return document | {"data": kept} if len(kept) < len(document["data"]) else None


class AccountRefused(FaultKind):
    """An account is listed, but everything of it is refused (closed, restricted, not assigned)."""

    name = "account_refused"
    params = {"account": "account number", **ERROR_PARAMS}

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        if call.account_id != str(fault.params.get("account", "")).removeprefix("act_"):
            return None
        return _not_granted(fault)


class UnusableTimezone(FaultKind):
    """An account comes with a timezone that no database knows, or with none."""

    name = "unusable_timezone"
    params = {"account": "account number", "timezone": "its name; absent: no timezone at all"}

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        wanted = f"act_{str(fault.params.get('account', '')).removeprefix('act_')}"
        found = [item for item in objects_of(document) if item.get("id") == wanted]
        if not any("timezone_name" in item for item in found):
            return None
        for item in found:
            item.pop("timezone_name", None)
            if "timezone" in fault.params:
                item["timezone_name"] = fault.params["timezone"]
        return document


class PageToken(FaultKind):
    """The token is a Page's: ``debug_token`` says PAGE, and a Page has no ad accounts."""

    name = "page_token"

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        if call.edge == "me/adaccounts":
            return nonexisting_field("adaccounts", "Page")
        return None

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        if call.edge == "debug_token":
            data = document["data"] | {"type": "PAGE", "profile_id": "104000000005551"}
            return {"data": data}
        if call.edge == "me":
            return document | {"id": "104000000005551", "name": "Nordlicht Outdoor"}
        return None
