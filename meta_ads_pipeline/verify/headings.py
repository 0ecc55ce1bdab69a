"""The headings of an Ads Manager export, by language, and what each of them is here.

The headings themselves are data: ``data/headings.toml``.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

MEASURES = ("spend", "impressions", "clicks", "link_clicks", "purchases", "revenue", "leads")
AMOUNTS = frozenset({"spend", "revenue"})
WHOLE = frozenset({"impressions", "clicks", "link_clicks"})
"""Measures that are whole numbers; conversions may be modelled fractions."""
CONVERSIONS = frozenset({"purchases", "revenue", "leads"})
"""Measures that Meta withholds by hour, and in part by other breakdowns."""

_CURRENCY = re.compile(r"[(\[]([A-Z]{3})[)\]]\s*$")


@dataclass(frozen=True)
class Column:
    """One column of an export. ``field`` is None where the heading means nothing here."""

    heading: str
    field: str | None
    currency: str | None
    languages: tuple[str, ...]


@cache
def read_data(name: str) -> dict[str, Any]:
    """A data file of this package."""
    return tomllib.loads(resources.files(__package__).joinpath("data", name).read_text("utf-8"))


def fold(text: str) -> str:
    """``text`` reduced to letters and digits without case, accents, width and punctuation."""
    # Turkish has an i with and one without a dot; whoever types capitals elsewhere mixes them.
    small = unicodedata.normalize("NFKC", text).casefold().replace("ı", "i")
    return "".join(letter for letter in unicodedata.normalize("NFKD", small) if letter.isalnum())


@cache
def _known() -> Mapping[str, tuple[str, tuple[str, ...]]]:
    """By folded heading: the field, and the languages in which it is called that."""
    fields: dict[str, str] = {}
    spoken: dict[str, list[str]] = {}
    for language, headings_of_field in read_data("headings.toml").items():
        for field, headings in headings_of_field.items():
            for heading in headings:
                folded = fold(heading)
                if fields.setdefault(folded, field) != field:
                    raise AssertionError(f"{heading!r} is both {fields[folded]} and {field}")
                spoken.setdefault(folded, []).append(language)
    return {folded: (field, tuple(spoken[folded])) for folded, field in fields.items()}


def headings_of(language: str) -> dict[str, str]:
    """The first heading of every field in ``language``, English where that language shares it."""
    data = read_data("headings.toml")
    return {field: data[language].get(field, each)[0] for field, each in data["en"].items()}


def languages() -> tuple[str, ...]:
    """The languages whose headings are known (ISO 639-1, ``zh-CN`` and ``zh-TW``)."""
    return tuple(read_data("headings.toml"))


def identify(heading: str) -> Column:
    """What ``heading`` is, with the ISO currency that amounts carry in parentheses."""
    text = unicodedata.normalize("NFKC", heading).strip()
    found = _CURRENCY.search(text)
    known = _known().get(fold(text[: found.start()] if found else text))
    return Column(
        heading=heading.strip(),
        field=known[0] if known else None,
        currency=found.group(1) if found else None,
        languages=known[1] if known else (),
    )


def language_of(columns: Sequence[Column]) -> str:
    """The language that most of the known headings belong to; English where it is a tie."""
    votes = Counter(language for column in columns for language in column.languages)
    return max(languages(), key=lambda language: votes[language])
