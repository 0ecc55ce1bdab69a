"""The vocabulary of errors: six kinds, what to do about each, and the shape of a table row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class ErrorKind(StrEnum):
    """Six kinds, each with one treatment."""

    AUTH = "auth"  # the connection is dead until a person gives a new credential
    PERMISSION = "permission"  # this account or object cannot be read; others can
    RATE_LIMIT = "rate_limit"  # wait, then the same call succeeds
    INVALID = "invalid"  # the request is wrong; sending it again cannot help
    TOO_MUCH_DATA = "too_much_data"  # the same request in smaller pieces succeeds
    TRANSIENT = "transient"  # Meta or the network failed; the same call may succeed


class Action(StrEnum):
    """What the client, or whoever catches the error, does about it."""

    STOP_CONNECTION = "stop_connection"
    SKIP_ACCOUNT = "skip_account"
    MARK_UNREACHABLE = "mark_unreachable"
    WAIT = "wait"
    RETRY = "retry"
    SHRINK = "shrink"
    DROP_FIELD = "drop_field"
    RESTART_PAGING = "restart_paging"
    UPGRADE_VERSION = "upgrade_version"
    PARK = "park"
    FIX_REQUEST = "fix_request"


@dataclass(frozen=True)
class ErrorRule:
    """One row of the table. An empty condition matches everything."""

    name: str
    kind: ErrorKind
    action: Action
    explanation: str
    advice: str
    codes: tuple[int | range, ...] = ()
    subcodes: tuple[int, ...] = ()
    pattern: re.Pattern[str] | None = None
    statuses: tuple[int | range, ...] = ()
    flagged_transient: bool = False

    def matches(
        self,
        code: int | None,
        subcode: int | None,
        message: str,
        http_status: int | None,
        is_transient: bool,
    ) -> bool:
        """Whether every condition of this row holds."""
        return (
            _within(code, self.codes)
            and (not self.subcodes or subcode in self.subcodes)
            and (self.pattern is None or self.pattern.search(message) is not None)
            and _within(http_status, self.statuses)
            and (not self.flagged_transient or is_transient)
        )


def _within(value: int | None, allowed: tuple[int | range, ...]) -> bool:
    if not allowed:
        return True
    return value is not None and any(
        value in each if isinstance(each, range) else value == each for each in allowed
    )
