"""Errors as the Graph API sends them: envelope, codes, subcodes, HTTP status.

Every factory names one error of the catalogue; handlers raise them, the HTTP layer turns them
into ``{"error": {...}}`` bodies. Texts follow what Meta was observed to send, since clients
match on some of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

DOCS = "https://developers.facebook.com/docs/graph-api"
RATE_DOCS = f"{DOCS}/overview/rate-limiting"
REDUCE_DATA = "Please reduce the amount of data you're asking for, then retry your request"


def new_trace_id() -> str:
    """A trace id of the usual form: 23 URL-safe characters that start with ``A``."""
    return "A" + secrets.token_urlsafe(17)[:22]


class GraphError(Exception):
    """One error answer. ``extra`` goes into the ``error`` object as it is."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        subcode: int | None = None,
        type_: str | None = "OAuthException",
        http_status: int = 400,
        is_transient: bool | None = None,
        user_title: str | None = None,
        user_msg: str | None = None,
        error_data: Mapping[str, Any] | str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.subcode = subcode
        self.type = type_
        self.http_status = http_status
        self.is_transient = is_transient
        self.user_title = user_title
        self.user_msg = user_msg
        self.error_data = error_data

    def changed(self, **members: Any) -> GraphError:
        """The same error with other members."""
        made = GraphError(self.code, self.message)
        vars(made).update(vars(self) | members)
        return made

    def body(self, trace_id: str) -> dict[str, Any]:
        """The JSON document of this error, absent members left out as Meta does."""
        members: dict[str, Any] = {
            "message": self.message,
            "type": self.type,
            "code": self.code,
            "error_subcode": self.subcode,
            "is_transient": self.is_transient,
            "error_user_title": self.user_title,
            "error_user_msg": self.user_msg,
            "error_data": self.error_data or None,
            "fbtrace_id": trace_id,
        }
        return {"error": {key: value for key, value in members.items() if value is not None}}


def invalid_parameter(
    message: str, *, subcode: int | None = None, blame: Sequence[str] = (), code: int = 100
) -> GraphError:
    """Code 100 (or another parameter code): the caller must change the request."""
    text = message if message.startswith("(#") else f"(#{code}) {message}"
    data = {"blame_field_specs": [list(blame)]} if blame else None
    return GraphError(code, text, subcode=subcode, error_data=data)


def nonexisting_field(field: str, node_type: str) -> GraphError:
    """A field the node type does not have."""
    return GraphError(
        100, f"(#100) Tried accessing nonexisting field ({field}) on node type ({node_type})"
    )


def unsupported_get(object_id: str, method: str = "get") -> GraphError:
    """Object gone or out of the token's reach: Meta does not say which."""
    return GraphError(
        100,
        f"Unsupported {method} request. Object with ID '{object_id}' does not exist, cannot be"
        " loaded due to missing permissions, or does not support this operation. Please read the"
        f" Graph API documentation at {DOCS}",
        subcode=33,
        type_="GraphMethodException",
    )


def unknown_alias(alias: str) -> GraphError:
    """A path that is neither an id nor a known name."""
    return GraphError(
        803, f"(#803) Some of the aliases you requested do not exist: {alias}", http_status=404
    )


def unknown_path(path: str) -> GraphError:
    """A path component that no node or edge answers to."""
    return GraphError(2500, f"Unknown path components: /{path}")


def version_expired(latest: str) -> GraphError:
    """Retired API version."""
    return GraphError(
        2635,
        "(#2635) You are calling a deprecated version of the Ads API. Please update to the latest"
        f" version: {latest}.",
    )


def bad_cursor() -> GraphError:
    """A cursor that belongs to no page of this listing."""
    return GraphError(2642, "(#2642) Invalid cursors values")


def token_required() -> GraphError:
    """No access token in query, body or header."""
    return GraphError(104, "An access token is required to request this resource.", http_status=401)


def invalid_token(subcode: int | None = None, message: str | None = None) -> GraphError:
    """Code 190: the token is unknown, expired or revoked; never worth a retry."""
    texts = {
        None: "Invalid OAuth access token - Cannot parse access token",
        458: "Error validating access token: The user has not authorized application.",
        459: "Error validating access token: You cannot access the app till you log in to"
        " www.facebook.com and follow the instructions given.",
        460: "Error validating access token: The session has been invalidated because the user"
        " changed their password or Facebook has changed the session for security reasons.",
        463: "Error validating access token: Session has expired.",
        464: "Error validating access token: Sessions for the user are not allowed because the user"
        " is not a confirmed user.",
        467: "Error validating access token: This may be because the user logged out or may be due"
        " to a system error.",
        492: "Error validating access token: The session user is not an admin of the page.",
        493: "Error validating access token: The data access of this user has expired after 90 days"
        " of inactivity.",
    }
    text = message or texts.get(subcode, str(texts[467]))
    return GraphError(190, text, subcode=subcode, http_status=400)


def bad_proof() -> GraphError:
    """appsecret_proof does not fit token and secret."""
    return GraphError(
        100, "Invalid appsecret_proof provided in the API argument", type_="GraphMethodException"
    )


def proof_required() -> GraphError:
    """The app demands a proof on server calls."""
    return GraphError(
        100,
        "API calls from the server require an appsecret_proof argument",
        type_="GraphMethodException",
    )


def missing_permission(message: str, code: int = 200) -> GraphError:
    """The token lives but may not do this."""
    return GraphError(code, f"(#{code}) {message}", http_status=403)


def too_much_data(variant: str = "1") -> GraphError:
    """Too large a request: ``"1"`` is code 1 with HTTP 500, ``"1487534"`` code 100 with 400."""
    if variant == "1487534":
        return GraphError(
            100,
            "(#100) Invalid parameter",
            subcode=1487534,
            user_title="Query Has Timed Out",
            user_msg="Your query timed out because it asks for too much data. Try a smaller date"
            " range, fewer fields or asynchronous requests.",
        )
    return GraphError(1, REDUCE_DATA, type_=None, http_status=500)


def report_not_ready() -> GraphError:
    """Results read before the report run completed."""
    return GraphError(
        2601,
        "Error accessing adreport job.",
        subcode=1815107,
        is_transient=True,
        user_title="Loading Async Ads Report Failed",
        user_msg="Sorry, the report cannot be loaded successfully. Please check if your job status"
        " is completed instead of failed or running before fetching the data.",
    )


def transient(code: int = 2, *, http_status: int = 500, subcode: int | None = None) -> GraphError:
    """Codes 1, 2 and kin: the same request works later."""
    texts = {
        1: "An unknown error occurred",
        2: "(#2) Service temporarily unavailable",
        341: "(#341) Feed action request limit reached",
        960: "(#960) Request aborted. This could happen if a dependent request failed or the entire"
        " request timed out.",
    }
    return GraphError(
        code,
        texts.get(code, "An unexpected error has occurred. Please retry your request later."),
        subcode=subcode,
        http_status=http_status,
        is_transient=True,
    )


_TOO_MANY = (
    "There have been too many calls {whom} this ad-account. Wait a bit and try again. For more"
    f" info, please refer to {RATE_DOCS}."
)


def rate_limit(code: int, subcode: int | None = None) -> GraphError:
    """A rate-limit error of any kind, with the HTTP status and text that belong to its code."""
    if code == 4:
        return GraphError(
            4,
            "(#4) Application request limit reached",
            subcode=subcode,
            http_status=403,
            is_transient=True,
        )
    if code == 17:
        by_account = subcode == 2446079
        told = "There have been too many calls from this ad-account. Wait a bit and try again."
        return GraphError(
            17,
            "(#17) User request limit reached",
            subcode=subcode,
            is_transient=True,
            user_title="Ad Account Has Too Many API Calls" if by_account else None,
            user_msg=told if by_account else None,
        )
    texts = {
        32: "(#32) Page request limit reached",
        613: "(#613) Calls to this api have exceeded the rate limit.",
        341: "(#341) Application limit reached",
    }
    if code in texts:
        return GraphError(code, texts[code], subcode=subcode, is_transient=True)
    whom = "from" if code == 80000 else "to"
    # 80000 and its kin were observed without is_transient.
    return GraphError(code, f"(#{code}) {_TOO_MANY.format(whom=whom)}", subcode=subcode or 2446079)
