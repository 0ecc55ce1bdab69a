"""The one exception that leaves this package, and how Meta's responses become it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from meta_ads_pipeline.errors import MetaAdsError
from meta_ads_pipeline.meta_api.error_rules import (
    FIELD_PATTERNS,
    Action,
    ErrorKind,
    ErrorRule,
    rule_for,
)
from meta_ads_pipeline.meta_api.usage import Usage
from meta_ads_pipeline.redaction import redact

__all__ = ["Action", "ErrorKind", "MetaApiError", "error_from_envelope"]

AUTH_SUBCODES: Mapping[int, str] = {
    458: "the person removed the app from their account",
    459: "the person must clear a checkpoint by logging in at facebook.com",
    460: "the password was changed, or Meta closed the session for security reasons",
    463: "the token has expired",
    464: "the person's account is unconfirmed; they must log in at facebook.com",
    467: "the token is invalid (logged out or withdrawn)",
    492: "the person has lost the role on the page or account the token was made for",
    493: "the token was not used for 90 days or its data access ran out",
}

RATE_LIMIT_SUBCODES: Mapping[int, str] = {
    1504022: "the app's limit for insights is used up",
    1504039: "the app's limit for insights is used up",
    2446079: "the ad account has had too many calls",
    1885172: "the account's spend cap was edited too often",
    1487742: "the ad account has had too many calls",
    5044001: "too many changes a second",
    1487632: "the ad set's budget was edited too often",
}

_OF_EVERY_CALL = frozenset(
    {
        "ca_bundle_missing",
        "certificate_untrusted",
        "network",
        "redirect",
        "reports_late",
        "two_factor",
        "two_factor_subcode",
        "version_expired",
    }
)
"""Rules of failures that no part of a request is the reason of."""


@dataclass(eq=False)
class MetaApiError(MetaAdsError):
    """One failure of the Graph API or on the way to it, classified; holds no secret.

    ``retry_after_seconds`` is Meta's own hint (from the usage headers) how long to wait, in
    seconds; None when it gave none; ``usage`` is what those headers said. ``what`` says what was
    asked, e.g. "GET act_1/insights". ``dates`` are the account-local days that failed where others
    of the same read did not, in order; empty: nothing more can be read. ``also`` are the failures
    of other days of that read.
    """

    rule: ErrorRule
    message: str = ""
    code: int | None = None
    subcode: int | None = None
    http_status: int | None = None
    fbtrace_id: str | None = None
    retry_after_seconds: float | None = None
    what: str = ""
    account_id: str | None = None
    blamed: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    dates: tuple[date, ...] = ()
    also: tuple[MetaApiError, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Strip secrets: Meta's own texts may quote URLs and tokens."""
        self.message = redact(self.message).strip()
        self.what = redact(self.what)
        super().__init__(self.message)

    @property
    def kind(self) -> ErrorKind:
        """Which of the six kinds this is."""
        return self.rule.kind

    @property
    def action(self) -> Action:
        """What to do about it."""
        return self.rule.action

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later without anybody's doing."""
        return self.kind in {ErrorKind.TRANSIENT, ErrorKind.RATE_LIMIT, ErrorKind.TOO_MUCH_DATA}

    @property
    def suggests_smaller(self) -> bool:
        """Whether a smaller request may succeed where this one, tried again, did not.

        Meta words "too much data" in many ways, and often does not say it at all: code 1 and
        HTTP 500, 502 and 504 that repeat are taken for it.
        """
        if self.kind is ErrorKind.TOO_MUCH_DATA:
            return True
        return self.kind is ErrorKind.TRANSIENT and (
            self.code == 1 or self.http_status in {500, 502, 504}
        )

    @property
    def may_blame_a_part(self) -> bool:
        """Whether a part of the request may be what is refused: a field, a filter, an object.

        Decided by class: Meta refuses by many codes, and what it does not name is found by trying.
        """
        return (
            self.code is not None
            and self.action
            in {
                Action.SKIP_ACCOUNT,
                Action.MARK_UNREACHABLE,
                Action.DROP_FIELD,
                Action.FIX_REQUEST,
            }
            and self.rule.name not in {"two_factor", "two_factor_subcode", "history_limit"}
        )

    @property
    def may_be_of_some_days(self) -> bool:
        """Whether other days than those that failed may be read all the same.

        Decided by class, unknown codes included: all but what every call of the token, the account
        or this machine fails with.
        """
        return (
            self.kind not in {ErrorKind.AUTH, ErrorKind.RATE_LIMIT}
            and self.rule.name not in _OF_EVERY_CALL
        )

    @property
    def explanation(self) -> str:
        """What it means, in plain words; names the subcode's meaning where Meta gives one."""
        detail = (
            AUTH_SUBCODES.get(self.subcode or 0)
            if self.kind is ErrorKind.AUTH
            else RATE_LIMIT_SUBCODES.get(self.subcode or 0)
        )
        return f"{self.rule.explanation}: {detail}" if detail else self.rule.explanation

    @property
    def advice(self) -> str:
        """What a person can do."""
        return self.rule.advice

    @property
    def signature(self) -> tuple[str, int | None, int | None, int | None]:
        """Equal for two failures that are the same failure."""
        return (self.rule.name, self.code, self.subcode, self.http_status)

    def __str__(self) -> str:
        """One line: what was asked, what it means, Meta's words, what to do."""
        numbers = [
            f"code {self.code}" if self.code is not None else "",
            f"subcode {self.subcode}" if self.subcode is not None else "",
            f"HTTP {self.http_status}" if self.http_status is not None else "",
            f"trace {self.fbtrace_id}" if self.fbtrace_id else "",
        ]
        facts = ", ".join(each for each in numbers if each)
        said = f' Meta says: "{self.message}"' if self.message and self.code is not None else ""
        if self.message and self.code is None:
            said = f" ({self.message})"
        what = ", ".join(each for each in (self.what, _days(self.dates)) if each)
        head = f"{what}: " if what else ""
        tail = f" [{facts}]" if facts else ""
        return f"{head}{self.explanation}.{said}{tail} {self.advice}".replace("\n", " ")

    def __reduce__(self) -> tuple[Any, ...]:
        """Picklable: a dataclass field order is the constructor's."""
        return (
            type(self),
            (
                self.rule,
                self.message,
                self.code,
                self.subcode,
                self.http_status,
                self.fbtrace_id,
                self.retry_after_seconds,
                self.what,
                self.account_id,
                self.blamed,
                self.usage,
                self.dates,
                self.also,
            ),
        )


def error_from_envelope(
    error: Mapping[str, Any] | str,
    *,
    http_status: int | None = None,
    what: str = "",
    account_id: str | None = None,
    retry_after_seconds: float | None = None,
) -> MetaApiError:
    """Classify the ``error`` member of a response (Meta's "Handle errors" page has its shape).

    Numbers may come as text, and any member may be absent.
    """
    if not isinstance(error, Mapping):
        error = {"message": str(error)}
    message = str(error.get("message") or "")
    code, subcode = _number(error.get("code")), _number(error.get("error_subcode"))
    if code is None:  # some texts repeat it, and then it is at times only there
        code = _number((_CODE_IN_TEXT.match(message) or [None, None])[1])
    user_message = str(error.get("error_user_msg") or "")
    rule = rule_for(code, subcode, message, http_status, error.get("is_transient") is True)
    if user_message and user_message not in message:
        message = f"{message} {user_message}"
    return MetaApiError(
        rule,
        message,
        code,
        subcode,
        http_status,
        str(error["fbtrace_id"]) if error.get("fbtrace_id") else None,
        retry_after_seconds,
        what,
        account_id,
        _blamed(error, message),
    )


def _days(dates: tuple[date, ...]) -> str:
    if not dates:
        return ""
    first, last = dates[0], dates[-1]
    return f"{first}" if first == last else f"{first} to {last}"


_CODE_IN_TEXT = re.compile(r"\(#(-?\d+)\)")


def _number(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _blamed(error: Mapping[str, Any], message: str) -> tuple[str, ...]:
    """Names of the fields or parameters that Meta blames, from its data or its text."""
    data = error.get("error_data")
    if isinstance(data, str):  # seen: the object as JSON text
        try:
            data = json.loads(data)
        except (ValueError, RecursionError):
            data = None
    specs = data.get("blame_field_specs") if isinstance(data, Mapping) else None
    names = list(_texts(specs))
    for pattern in FIELD_PATTERNS:
        for found in pattern.findall(message):
            names += re.split(r",\s*(?:and\s+)?|\s+and\s+", found)
    return tuple(dict.fromkeys(names))


def _texts(value: object, depth: int = 4) -> Iterator[str]:
    """Every text in nested lists; blame fields come as a list of paths, or as one path."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and depth:
        for each in value:
            yield from _texts(each, depth - 1)
