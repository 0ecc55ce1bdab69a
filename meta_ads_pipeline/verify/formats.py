"""Numbers and dates as people's Ads Manager and spreadsheets write them.

A cell alone can be ambiguous (``1.234``, ``03/04/2026``), a file hardly ever: the format is settled
once per file, from the cells that leave no doubt, then every cell is read strictly. What differs by
language is data: ``data/formats.toml``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache

from meta_ads_pipeline.verify.headings import fold, read_data

_EMPTY = frozenset({"", "-", "--", "–", "—", "n/a", "null", "none"})
_SPACES = " \u00a0\u202f\u2009\u2007"
_APOSTROPHES = "'’"
_MONEY_SIGNS = re.compile(r"^(?:[A-Z]{3}|\w{0,2}\$|[^\w\s.,'’+\-−()%]|zł|Kč|kr\.?|R\$|円)$")
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
    return NumberFormat("," if language in read_data("formats.toml")["decimal_comma"] else ".")


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


_ISO = re.compile(r"(\d{4})[-/.]\s*(\d{1,2})[-/.]\s*(\d{1,2})\.?$")
_EAST_ASIAN = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日일]$")
_NUMERIC = re.compile(r"(\d{1,2})(?:([/.-])\s*)(\d{1,2})\2\s*(\d{4}|\d{2})\.?$")
_TIME = re.compile(r"[T\s]+\d{1,2}:\d{2}(:\d{2})?(\.\d+)?Z?$")
_WEEKDAY = re.compile(r"^[^\W\d]+\.?,?\s+(?=\d|[^\W\d]+\.?\s+\d)|\s*\([^()\d]+\)$")
_BETWEEN = r"[\s.,/-]*(?:de\s+)?"
_DAY_NAMED_MONTH = re.compile(
    rf"(\d{{1,2}}){_BETWEEN}([^\W\d][^\d,/-]*?){_BETWEEN}(\d{{4}}|\d{{2}})\.?$"
)
_NAMED_MONTH_DAY = re.compile(rf"([^\W\d][^\d,/-]*?){_BETWEEN}(\d{{1,2}}){_BETWEEN}(\d{{4}})$")
_SERIAL = re.compile(r"[34]\d{4}$|5[0-4]\d{3}$")
_SERIAL_ZERO = date(1899, 12, 30)  # spreadsheets count from here
_BUDDHIST_ERA = 543
_HOUR = re.compile(
    r"(\d{1,2})(?:[:.h時时시]\s*\d{0,2}(?::\d{2})?)?\s*([ap])?\.?(?:m\.?)?(?!\w)", re.I
)


@cache
def _months() -> dict[str, int]:
    """Months by the folded beginnings of their names, the longest first."""
    found = {
        fold(start): int(number)
        for number, starts in read_data("formats.toml")["months"].items()
        for start in starts
    }
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


@dataclass(frozen=True)
class DateFormat:
    """How a file writes dates: whether ``03/04/2026`` names the day first."""

    day_first: bool

    def parse(self, text: str) -> date:
        """The date: ISO, numeric, Chinese, Japanese, Korean, with the month's name, or the day
        number that spreadsheets show for a date.

        Raises ``ValueError`` saying what was expected.
        """
        cell = _TIME.sub("", unicodedata.normalize("NFKC", text).strip())
        found = None
        for candidate in (cell, _WEEKDAY.sub("", cell)):
            try:
                found = found or _unambiguous(candidate) or self._numeric(candidate)
            except ValueError:
                continue
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
        year = _year(match.group(4))
        # Dots and hyphens name the day first unless that is no date; slashes are written both ways.
        day_first = self.day_first if match.group(2) == "/" else second <= 12
        if day_first:
            return date(year, second, first)
        return date(year, first, second)


def _unambiguous(cell: str) -> date | None:
    for pattern in (_ISO, _EAST_ASIAN):
        if match := pattern.fullmatch(cell):
            year, month, day = match.groups()
            return date(_year(year), int(month), int(day))
    if match := _DAY_NAMED_MONTH.fullmatch(cell):
        return _named(match.group(3), match.group(2), match.group(1))
    if match := _NAMED_MONTH_DAY.fullmatch(cell):
        return _named(match.group(3), match.group(1), match.group(2))
    if _SERIAL.fullmatch(cell):
        return _SERIAL_ZERO + timedelta(days=int(cell))
    return None


def _named(year: str, name: str, day: str) -> date | None:
    folded = fold(name)
    month = next((number for start, number in _months().items() if folded.startswith(start)), None)
    return date(_year(year), month, int(day)) if month else None


def _year(text: str) -> int:
    """A year of our era: two digits are of this century, Thai years are Buddhist ones."""
    year = int(text) + (2000 if len(text) == 2 else 0)
    return year - _BUDDHIST_ERA if year > 2400 else year


def parse_hour(text: str) -> int:
    """The hour, 0 to 23, at which a span such as ``14:00:00 - 14:59:59`` or ``2 PM`` begins.

    Raises ``ValueError`` saying what was expected.
    """
    match = _HOUR.match(unicodedata.normalize("NFKC", text).strip())
    hour = int(match.group(1)) if match else 24
    half = (match.group(2) or "").casefold() if match else ""
    if half and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    if hour > 23:
        raise ValueError(f"{text.strip()!r} is no hour: expected one like 14:00:00 - 14:59:59")
    return hour


def says_total(cell: str) -> bool:
    """Whether the cell of a name or a date says that its row is a total or subtotal, or nothing."""
    text = cell.strip()
    return text in _NOTHING or fold(text) in _totals() or bool(_total_phrase().match(text))


_NOTHING = frozenset({"", "-", "--", "–", "—"})


@cache
def _totals() -> frozenset[str]:
    return frozenset(map(fold, read_data("formats.toml")["totals"]))


@cache
def _total_phrase() -> re.Pattern[str]:
    phrases = "|".join(read_data("formats.toml")["total_phrases"])
    return re.compile(rf"({phrases})\b.*\d", re.IGNORECASE)


def detect_date_format(cells: Sequence[str], *, language: str) -> DateFormat:
    """Which order of day and month reads most cells; if both do, the one with the shorter span.

    An export covers some weeks, whereas swapped days and months scatter over the year. A single
    date that reads both ways is taken in the order of ``language`` (English: month first).
    """
    month_first = language in read_data("formats.toml")["month_first"]
    by_language = DateFormat(day_first=not month_first)
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
