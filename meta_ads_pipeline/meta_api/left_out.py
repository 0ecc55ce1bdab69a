"""What Meta refuses of a list: objects, or fields of one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LeftOut:
    """An object that Meta refuses, or fields of one; ``fields`` empty: the whole object."""

    reason: str
    object_id: str
    fields: tuple[str, ...] = ()
