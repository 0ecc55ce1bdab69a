"""How long an unfinished slice waits for its next attempt, by the kind of its failure."""

from __future__ import annotations

from datetime import timedelta

FIRST_DELAY = timedelta(minutes=5)
NEEDS_A_PERSON_DELAY = timedelta(hours=6)
LONGEST_DELAY = timedelta(days=1)

_NEEDS_A_PERSON = frozenset({"auth", "permission"})
_NEVER = frozenset({"invalid"})


def first_delay(kind: str | None) -> timedelta | None:
    """The delay after the first attempt; None where only a change of code or request can help.

    It doubles with every attempt up to ``LONGEST_DELAY``. What needs a person first (a credential,
    a permission) is tried rarely: enough to go on by itself once it is repaired.
    """
    if kind in _NEVER:
        return None
    return NEEDS_A_PERSON_DELAY if kind in _NEEDS_A_PERSON else FIRST_DELAY


def is_passing(kind: str | None) -> bool:
    """Whether the failure may pass by itself: Meta's or the database's moment, not the request."""
    return kind not in _NEEDS_A_PERSON | _NEVER
