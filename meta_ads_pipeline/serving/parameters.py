"""What a parameter of a request may hold."""

from __future__ import annotations


def storable(text: str) -> str:
    """The text; ``ValueError`` where it holds what Postgres cannot: a NUL character."""
    if "\x00" in text:
        raise ValueError("holds a NUL character")
    return text
