"""Find out what of a refused request Meta refuses, by trying it without.

Which field, permission or filter is at fault is seldom said in a form to rely on: several names,
names without an underscore, none at all ("Missing perms"), in any language. So a name in the text
is a guess; a guess counts when the request succeeds without it. Where nothing is named, the fields
are bisected. A request that fails with nothing but its keys is refused for another reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from meta_ads_pipeline.meta_api.calls import Call
from meta_ads_pipeline.meta_api.errors import MetaApiError

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Refusal:
    """The fields that Meta refuses, and the response to the request without them."""

    fields: tuple[str, ...]
    document: Any


Send = Callable[[Call], Any]
"""Makes a call and returns the document; raises ``MetaApiError``."""


def fields_of(call: Call) -> tuple[str, ...]:
    """The fields that a call asks for."""
    fields = call.params.get("fields", ())
    return tuple(fields.split(",")) if isinstance(fields, str) else tuple(fields)


def with_fields(call: Call, fields: Sequence[str]) -> Call:
    """The call with these fields, in the form that it had."""
    joined = isinstance(call.params.get("fields"), str)
    return call.with_params(fields=",".join(fields) if joined else list(fields))


def named_in(error: MetaApiError, names: Sequence[str]) -> tuple[str, ...]:
    """Which of these names the error mentions, in its data or as words of its text."""
    words = {*_WORD.findall(error.message)}
    words.update(word for each in error.blamed for word in _WORD.findall(each))
    return tuple(name for name in names if name in words)


def refused_values(error: MetaApiError, sent: Sequence[str], first: str) -> set[str]:
    """Which of a filter's values to leave out after an error about them.

    Those that are not among the allowed ones where it lists them, else those it names or numbers,
    else ``first``; all where that is gone already.
    """
    text = f"{error.message} {' '.join(error.blamed)}"
    allowed = {*_WORD.findall(text.partition("one of")[2])}
    refused = {each for each in sent if allowed & {*sent} and each not in allowed}
    refused = refused or {*named_in(error, sent)}
    numbered = {int(number) for number in re.findall(r"\[(\d+)\]", text)}
    refused = refused or {each for place, each in enumerate(sent) if place in numbered - {0}}
    if 0 < len(refused) < len(sent):
        return refused
    return {first} & {*sent} or {*sent}


def refused_fields(
    send: Send,
    call: Call,
    error: MetaApiError,
    *,
    keep: Sequence[str],
    suspects: Sequence[str] = (),
) -> Refusal | None:
    """Which fields of a refused call are to blame; None where it fails without any, too.

    ``keep`` are fields without which the response means nothing; ``suspects`` are tried first.
    Costs one call where the error names the fields or where it is not about fields, else about two
    for each halving of the suspects or of all.
    """
    fields = fields_of(call)
    optional = [name for name in fields if name not in keep]
    tried = _Tried(send, call, fields, error)
    gone: tuple[str, ...] = ()
    while True:  # Meta may name one field after the other
        named = named_in(tried.error, [name for name in optional if name not in gone])
        if not named:
            break
        gone += named
        document = tried.without(gone)
        if document is not None:
            return Refusal(gone, document)
    document = tried.without(optional) if optional else None
    if document is None:
        return None
    likely = [name for name in suspects if name in optional]
    plain = tried.without(likely) if likely else None
    if plain is not None:
        return _narrowed(tried, likely, plain)
    return _narrowed(tried, optional, document)


def _narrowed(tried: _Tried, group: Sequence[str], document: Any) -> Refusal:
    """The smallest part of a group of fields that must go."""

    def bisected(part: Sequence[str]) -> list[str]:
        if len(part) < len(group):
            others = [name for name in group if name not in part]
            if tried.without(others) is not None:
                return []
        if len(part) == 1:
            return list(part)
        middle = len(part) // 2
        return [*bisected(part[:middle]), *bisected(part[middle:])]

    refused = tuple(bisected(group))
    best = tried.without(refused) if refused else None
    return Refusal(refused, best) if best is not None else Refusal(tuple(group), document)


class _Tried:
    """Tries of one request without some of its fields."""

    def __init__(self, send: Send, call: Call, fields: Sequence[str], error: MetaApiError) -> None:
        self._send, self._call, self._fields = send, call, fields
        self.error = error
        self._seen: dict[frozenset[str], Any] = {}

    def without(self, names: Sequence[str]) -> Any | None:
        """The response without these fields; None where that is refused as well."""
        key = frozenset(names)
        if key in self._seen:
            return self._seen[key]
        kept = [name for name in self._fields if name not in key]
        document = None
        try:
            document = self._send(with_fields(self._call, kept))
        except MetaApiError as error:
            if not (error.may_blame_a_part or error.suggests_smaller):
                raise
            self.error = error
        self._seen[key] = document
        return document
