"""Numbers and dates as people's Ads Manager and spreadsheets write them.

A cell alone can be ambiguous (``1.234``, ``03/04/2026``), a file hardly ever: the format is settled
once per file, from the cells that leave no doubt, then every cell is read strictly.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

_EMPTY = frozenset({"", "-", "--", "–", "—", "n/a", "null", "none"})
_SPACES = " \u00a0\u202f\u2009\u2007"
_APOSTROPHES = "'’"
_MONEY_SIGNS = re.compile(r"^(?:[A-Z]{3}|\w{0,2}\$|[^\w\s.,'’+\-−()%]|zł|Kč|kr\.?|R\$|円)$")
_COMMA_LANGUAGES = frozenset({"de", "fr", "es", "it", "pt", "nl", "pl", "cs"})
_GROUPED = re.compile(r"\d{1,3}([.,])\d{3}$")


@dataclass(frozen=True)
class NumberFormat:
    """How a file writes numbers: ``decimal`` is the sign before the fraction, ``.`` or ``,``."""

    decimal: str

    def parse(self, text: str) -> Decimal | None:
        """The exact number, or None for an empty cell or a dash.

        Thousands may be grouped by spaces of any kind, apostrophes, or the sign that is not the
        decimal one; in threes, or as in India. Raises ``ValueError`` saying what was expected.
        """
        cell = _bare(text)
        if cell.casefold() in _EMPTY:
            return None
        example = "1,234.56" if self.decimal == "." else "1.234,56"
        match = re.fullmatch(
            rf"([+-]?)(\d+|\d{{1,3}}(?:([{self._grouping}])\d{{2,3}})(?:\3\d{{2,3}})*)"
            rf"(?:{re.escape(self.decimal)}(\d+))?",
            cell,
        )
        if match is None or not _well_grouped(match.group(2), match.group(3)):
            raise ValueError(f"{text.strip()!r} is not a number: expected one like {example}")
        digits = re.sub(r"\D", "", match.group(2))
        fraction = f".{match.group(4)}" if match.group(4) else ""
        return Decimal(f"{match.group(1)}{digits}{fraction}")

    @property
    def _grouping(self) -> str:
        other = "," if self.decimal == "." else "."
        return re.escape(other + _SPACES + _APOSTROPHES)


def _well_grouped(digits: str, separator: str | None) -> bool:
    """In threes from the right; or threes then twos (1,23,45,678), which only commas separate."""
    if separator is None:
        return True
    groups = digits.split(separator)[1:]
    western = all(len(group) == 3 for group in groups)
    indian = separator == "," and [len(group) for group in groups] == [2] * (len(groups) - 1) + [3]
    return western or indian


def _bare(text: str) -> str:
    """The number without currency signs and with a plain minus; parentheses are left to fail."""
    cell = text.replace("−", "-").strip(_SPACES + "\t")
    for pattern in (r"^([^\d+\-]+?)\s*(?=[\d+\-])", r"(?<=\d)\s*([^\d.,]+)$"):
        found = re.search(pattern, cell)
        if found and _MONEY_SIGNS.match(found.group(1).strip(_SPACES)):
            cell = cell[: found.start()] + cell[found.end() :]
    return cell.strip(_SPACES)


def detect_number_format(
    amounts: Iterable[str], counts: Iterable[str], *, language: str
) -> NumberFormat:
    """The format that most cells prove. ``counts`` are cells of whole numbers.

    Where no cell proves anything, ``language`` (of the headings) decides.
    """
    proofs = [
        *(_proof(_bare(cell), whole=False) for cell in amounts),
        *(_proof(_bare(cell), whole=True) for cell in counts),
    ]
    points, commas = proofs.count("."), proofs.count(",")
    if points != commas:
        return NumberFormat("." if points > commas else ",")
    return NumberFormat("," if language in _COMMA_LANGUAGES else ".")


def _proof(cell: str, *, whole: bool) -> str | None:
    """The decimal sign that ``cell`` proves, if it proves one."""
    signs = [character for character in cell if character in ".,"]
    if not signs:
        return None
    if len(set(signs)) == 2:
        return signs[-1]
    other = "," if signs[0] == "." else "."
    if len(signs) > 1:
        return other
    if _GROUPED.fullmatch(cell.lstrip("+-")) and not cell.lstrip("+-").startswith("0"):
        return other if whole else None
    return signs[0]


_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})\.?$")
_KANJI = re.compile(r"(\d{4})年\s*(\d{1,2})月\s*(\d{1,2})日$")
_NUMERIC = re.compile(r"(\d{1,2})(?:([/.-])\s*)(\d{1,2})\2\s*(\d{4}|\d{2})\.?$")
_TIME = re.compile(r"[T\s]+\d{1,2}:\d{2}(:\d{2})?(\.\d+)?Z?$")
_DAY_NAMED_MONTH = re.compile(r"(\d{1,2})\.?\s*(?:de\s+)?([^\W\d]+)\.?,?\s*(?:de\s+)?(\d{4})$")
_NAMED_MONTH_DAY = re.compile(r"([^\W\d]+)\.?\s+(\d{1,2}),?\s+(\d{4})$")
_MONTH_NAMES = (
    *(("jan ene gen sty led", 1), ("feb fev lut uno", 2), ("mar mrt maa brez bre", 3)),
    *(("apr avr abr kwi dub", 4), ("may mai mag mei maj kve", 5), ("jun giu cze juin", 6)),
    *(("jul lug lip juil", 7), ("aug aou ago sie srp", 8), ("sep set wrz zar", 9)),
    *(("oct okt ott out paz rij", 10), ("nov lis", 11), ("dec dez dic gru pro", 12)),
)
_MONTHS = {prefix: month for prefixes, month in _MONTH_NAMES for prefix in prefixes.split()}


@dataclass(frozen=True)
class DateFormat:
    """How a file writes dates: whether ``03/04/2026`` names the day first."""

    day_first: bool

    def parse(self, text: str) -> date:
        """The date; ISO, numeric, Japanese, or with the month's name.

        Raises ``ValueError`` saying what was expected.
        """
        cell = _TIME.sub("", unicodedata.normalize("NFKC", text).strip())
        try:
            found = _unambiguous(cell) or self._numeric(cell)
        except ValueError:
            found = None
        if found is None:
            example = "20/11/2026" if self.day_first else "11/20/2026"
            raise ValueError(
                f"{text.strip()!r} is not a date: expected one like 2026-11-20 or {example}"
            )
        return found

    def _numeric(self, cell: str) -> date | None:
        match = _NUMERIC.fullmatch(cell)
        if match is None:
            return None
        first, second = int(match.group(1)), int(match.group(3))
        year = int(match.group(4)) + (2000 if len(match.group(4)) == 2 else 0)
        # Dots and hyphens always name the day first; only slashes are written both ways.
        if self.day_first or match.group(2) != "/":
            return date(year, second, first)
        return date(year, first, second)


def _unambiguous(cell: str) -> date | None:
    for pattern in (_ISO, _KANJI):
        if match := pattern.fullmatch(cell):
            return date(*(int(part) for part in match.groups()))
    if match := _DAY_NAMED_MONTH.fullmatch(cell):
        return _named(match.group(3), match.group(2), match.group(1))
    if match := _NAMED_MONTH_DAY.fullmatch(cell):
        return _named(match.group(3), match.group(1), match.group(2))
    return None


def _named(year: str, name: str, day: str) -> date | None:
    folded = "".join(
        character
        for character in unicodedata.normalize("NFKD", name.casefold())
        if not unicodedata.combining(character)
    )
    if folded.startswith(("cervenec", "cervence", "cvc")):
        month: int | None = 7
    elif folded.startswith(("cerv", "cvn")):
        month = 6
    else:
        month = _MONTHS.get(folded[:4]) or _MONTHS.get(folded[:3])
    return date(int(year), month, int(day)) if month else None


def detect_date_format(cells: Sequence[str], *, language: str) -> DateFormat:
    """Which order of day and month reads most cells; if both do, the one with the shorter span.

    An export covers some weeks, whereas swapped days and months scatter over the year. A single
    date that reads both ways is taken in the order of ``language`` (English: month first).
    """
    by_language = DateFormat(day_first=language != "en")
    other = DateFormat(day_first=not by_language.day_first)
    ours, theirs = list(_readable(by_language, cells)), list(_readable(other, cells))
    if len(ours) != len(theirs):
        return by_language if len(ours) > len(theirs) else other
    if not ours or _span(ours) <= _span(theirs):
        return by_language
    return other


def _readable(form: DateFormat, cells: Sequence[str]) -> Iterator[date]:
    for cell in cells:
        try:
            yield form.parse(cell)
        except ValueError:
            continue


def _span(days: Sequence[date]) -> int:
    return (max(days) - min(days)).days
