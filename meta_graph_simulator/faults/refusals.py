"""Calls that are refused whatever they ask for: errors, rate limits, tokens, logins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meta_graph_simulator.faults.fault import Fault
from meta_graph_simulator.faults.kind import FaultKind
from meta_graph_simulator.graph.call import GraphCall
from meta_graph_simulator.graph.errors import GraphError, invalid_token, rate_limit, transient

ERROR_PARAMS = {
    "code": "error code",
    "subcode": "error subcode",
    "message": "text",
    "type": "error type, OAuthException",
    "http_status": "HTTP status, 400",
    "is_transient": "true or false; absent by default",
    "error_user_title": "title for people",
    "error_user_msg": "text for people",
    "error_data": "object, or a JSON text as Meta sends it at times",
}


def error_of(params: Mapping[str, Any], **defaults: Any) -> GraphError:
    """The error that parameters describe (``ERROR_PARAMS``)."""
    values = {**defaults, **params}
    subcode = values.get("subcode")
    return GraphError(
        int(values.get("code", 1)),
        str(values.get("message", "An unknown error occurred")),
        subcode=None if subcode is None else int(subcode),
        type_=values.get("type", "OAuthException"),
        http_status=int(values.get("http_status", 400)),
        is_transient=values.get("is_transient"),
        user_title=values.get("error_user_title"),
        user_msg=values.get("error_user_msg"),
        error_data=values.get("error_data"),
    )


class AnyError(FaultKind):
    """Any error: known or unknown code, subcode, text and status."""

    name = "error"
    params = ERROR_PARAMS

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError:
        return error_of(fault.params)


class RateLimit(FaultKind):
    """One call is refused for its rate; with ``seconds``, all are from now on (a block, told by
    the usage headers). ``match: {"batch": true}`` refuses members of batches only.
    """

    name = "rate_limit"
    params = {
        "code": "4, 17, 32, 613 or 80000 to 80014; 17",
        "subcode": "subcode, 2446079 with 17 and 80000 and up",
        "seconds": "length of the block, on the simulator's clock",
    }

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError:
        subcode = fault.params.get("subcode")
        return rate_limit(int(fault.params.get("code", 17)), subcode and int(subcode))


class Transient(FaultKind):
    """A passing failure: the same request works later."""

    name = "transient"
    params = {"code": "1, 2, 341, 960, ..; 2", "subcode": "subcode", "http_status": "500"}

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError:
        subcode = fault.params.get("subcode")
        return transient(
            int(fault.params.get("code", 2)),
            http_status=int(fault.params.get("http_status", 500)),
            subcode=subcode and int(subcode),
        )


class DeadToken(FaultKind):
    """Code 190: the access token does not work."""

    name = "token"
    params = {"subcode": "458, 459, 460, 463, 464, 467, 492, 493; 460"}

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError:
        subcode = fault.params.get("subcode")
        return invalid_token(460 if subcode is None else int(subcode))


class TwoFactor(FaultKind):
    """Code 415: the business demands two-factor authentication of the token's person."""

    name = "two_factor"
    params = {"subcode": "1404120 or 2859009; 1404120"}

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        if call.account_id is None and fault.match.account is None:
            return None
        return GraphError(
            415,
            "Two factor authentication required. User have to enter a code from SMS or TOTP code"
            " generator to pass 2fac. This could happen when accessing a 2fac-protected asset like"
            " a page that is owned by a 2fac-protected business manager.",
            subcode=int(fault.params.get("subcode", 1404120)),
            is_transient=False,
            user_title="Two Factor Authentication Required",
            user_msg="Confirm your identity with two-factor authentication to continue.",
        )
