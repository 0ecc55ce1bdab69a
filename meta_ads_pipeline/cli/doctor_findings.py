"""What the doctor finds: lines that pass, warn or fail, with what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from meta_ads_pipeline.redaction import redact


class Outcome(StrEnum):
    """How a check came out."""

    PASS = "pass"  # noqa: S105
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; ``what_to_do`` is empty where nothing is to be done."""

    check: str
    outcome: Outcome
    message: str
    what_to_do: str = ""


def passed(check: str, message: str) -> Finding:
    """A line that says that all is well."""
    return Finding(check, Outcome.PASS, message)


def warned(check: str, message: str, what_to_do: str) -> Finding:
    """A line about what works, but should not stay as it is."""
    return Finding(check, Outcome.WARN, message, what_to_do)


def failed(check: str, message: str, what_to_do: str) -> Finding:
    """A line about what does not work."""
    return Finding(check, Outcome.FAIL, message, what_to_do)


def guarded(check: str, examine: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The check's findings; a check that breaks down is itself a failed finding."""
    try:
        return list(examine())
    except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
        return [
            failed(
                check,
                f"the check broke down: {type(error).__name__}: {redact(error)}",
                "Run the command again; if it stays, please report it",
            )
        ]
