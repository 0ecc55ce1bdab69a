"""Read an Ads Manager export: encoding, separator, headings, number and date formats, totals."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path

from meta_ads_pipeline.verify.export import (
    LEVELS,
    AdsManagerFileError,
    BadLine,
    Export,
    ExportRow,
)
from meta_ads_pipeline.verify.formats import (
    DateFormat,
    NumberFormat,
    detect_date_format,
    detect_number_format,
    parse_hour,
    says_total,
)
from meta_ads_pipeline.verify.headings import (
    AMOUNTS,
    MEASURES,
    WHOLE,
    Column,
    headings_of,
    identify,
    language_of,
    languages,
)
from meta_ads_pipeline.verify.totals import split_totals

_SEPARATORS = ",;\t|"
_HEADER_WITHIN = 25  # lines: some exports begin with the report's name and dates
_LEGACY_ENCODINGS = ("cp1252", "cp1250", "cp932")


@dataclass
class _Table:
    """The file cut into cells, headings identified."""

    columns: list[Column]
    records: list[tuple[int, list[str]]]
    bad_lines: list[BadLine] = field(default_factory=list)
    position: dict[str, int] = field(init=False)
    language: str = field(init=False)

    def __post_init__(self) -> None:
        self.language = language_of(self.columns)
        self.position = {}
        for index, column in enumerate(self.columns):
            if column.field is not None:
                self.position.setdefault(column.field, index)

    def heading(self, name: str) -> str:
        return self.columns[self.position[name]].heading

    def cell(self, cells: Sequence[str], name: str) -> str:
        return cells[self.position[name]].strip() if name in self.position else ""

    def cells(self, name: str) -> list[str]:
        return [self.cell(cells, name) for _, cells in self.records]


def read_export(path: Path) -> Export:
    """Read the CSV export at ``path``.

    Raises ``AdsManagerFileError`` when it cannot be used as a whole; a line that cannot be read is
    in ``bad_lines`` and the rest is there.
    """
    table = _table(_decode(path.read_bytes()))
    measures = tuple(name for name in MEASURES if name in table.position)
    expected = headings_of(table.language)
    if not measures:
        listed = ", ".join(repr(expected[name]) for name in MEASURES)
        raise AdsManagerFileError(f"no column to compare: expected at least one of {listed}")
    if "day" not in table.position and not {"starts", "ends"} <= table.position.keys():
        raise AdsManagerFileError(
            f"no dates: expected a column {expected['day']!r} (breakdown by day), or both "
            f"{expected['starts']!r} and {expected['ends']!r}"
        )
    return _RowReader(table, measures).export()


class _RowReader:
    """Turns the lines of one table into rows, totals and bad lines."""

    def __init__(self, table: _Table, measures: tuple[str, ...]) -> None:
        self.table = table
        self.measures = measures
        self.level = _level(table)
        self.dates = ("day",) if "day" in table.position else ("starts", "ends")
        self.numbers: NumberFormat = detect_number_format(
            (cell for name in measures if name in AMOUNTS for cell in table.cells(name)),
            (cell for name in measures if name in WHOLE for cell in table.cells(name)),
            language=table.language,
        )
        self.days: DateFormat = detect_date_format(
            [cell for name in self.dates for cell in table.cells(name) if not says_total(cell)],
            language=table.language,
        )
        self.names = tuple(
            f"{level}_{kind}"
            for level in LEVELS
            for kind in ("id", "name")
            if f"{level}_{kind}" in table.position
        )
        self.currency_of_headings = _currency_of_headings(table)
        self.others = _texts(table, self.numbers)

    def export(self) -> Export:
        rows: list[ExportRow] = []
        bad = list(self.table.bad_lines)
        summaries: list[tuple[int, list[str]]] = []
        for line, cells in self.table.records:
            if self._is_summary(cells):
                summaries.append((line, cells))
                continue
            try:
                rows.append(self._row(line, cells))
            except _CellError as error:
                bad.append(BadLine(line, error.column, str(error)))
        rows, totals, unclear = split_totals(rows, self.measures)
        bad += [
            BadLine(
                row.line,
                None,
                f"names nothing in {headings} and is more than the lines that do: the total of a "
                "filtered export, or a part without a name? It is left out",
            )
            for row, headings in unclear
        ]
        if not rows:
            raise AdsManagerFileError(_nothing_read(bad))
        return Export(
            level=self.level,
            columns={name: self.table.heading(name) for name in self.table.position},
            measures=self.measures,
            rows=tuple(rows),
            bad_lines=tuple(sorted(bad, key=lambda bad_line: bad_line.line)),
            totals=self._totals(summaries) or totals,
            not_compared=tuple(
                column.heading
                for column in self.table.columns
                if column.heading and column.field is None
            ),
        )

    def _is_summary(self, cells: Sequence[str]) -> bool:
        """Totals and subtotals name no object of the file's level, no day of a file by day, or no
        hour of a file by hour.
        """
        if "hour" in self.table.position and says_total(self.table.cell(cells, "hour")):
            return True
        undated = all(says_total(self.table.cell(cells, name)) for name in self.dates)
        if not self._has(self.level):
            return undated
        return (undated and self.dates == ("day",)) or self._names_no(self.level, cells)

    def _names_no(self, level: str, cells: Sequence[str]) -> bool:
        present = [name for name in (f"{level}_id", f"{level}_name") if name in self.table.position]
        return bool(present) and all(says_total(self.table.cell(cells, name)) for name in present)

    def _row(self, line: int, cells: Sequence[str]) -> ExportRow:
        days = [self._date(cells, name) for name in self.dates]
        if days[-1] < days[0]:
            heading = self.table.heading("ends")
            raise _CellError(heading, f"{days[-1]} is before the start, {days[0]}")
        return ExportRow(
            line=line,
            names={name: self.table.cell(cells, name) for name in self.names},
            start=days[0],
            end=days[-1],
            values={name: self._number(cells, name) for name in self.measures},
            hour=self._hour(cells),
            currency=self.currency_of_headings or self._currency(cells),
            others={
                self.table.columns[index].heading: cells[index].strip() for index in self.others
            },
        )

    def _hour(self, cells: Sequence[str]) -> int | None:
        if "hour" not in self.table.position:
            return None
        try:
            return parse_hour(self.table.cell(cells, "hour"))
        except ValueError as error:
            raise _CellError(self.table.heading("hour"), str(error)) from error

    def _currency(self, cells: Sequence[str]) -> str | None:
        cell = self.table.cell(cells, "currency").upper()
        return None if says_total(cell) else cell

    def _date(self, cells: Sequence[str], name: str) -> date:
        try:
            return self.days.parse(self.table.cell(cells, name))
        except ValueError as error:
            raise _CellError(self.table.heading(name), str(error)) from error

    def _number(self, cells: Sequence[str], name: str) -> Decimal | None:
        heading = self.table.heading(name)
        try:
            value = self.numbers.parse(self.table.cell(cells, name))
        except ValueError as error:
            raise _CellError(heading, str(error)) from error
        if value is not None and name in WHOLE and value != value.to_integral_value():
            cell = self.table.cell(cells, name)
            raise _CellError(heading, f"{cell!r} is read as {value}: expected a whole number")
        return value

    def _totals(
        self, summaries: Sequence[tuple[int, list[str]]]
    ) -> Mapping[str, Decimal | None] | None:
        """The values of the row that sums everything, if the file has exactly one."""
        grand = [
            cells
            for _, cells in summaries
            if (self.dates != ("day",) or says_total(self.table.cell(cells, "day")))
            and all(self._names_no(level, cells) for level in LEVELS[1:] if self._has(level))
        ]
        if len(grand) != 1:
            return None
        try:
            return {name: self._number(grand[0], name) for name in self.measures}
        except _CellError:
            return None

    def _has(self, level: str) -> bool:
        return any(f"{level}_{kind}" in self.table.position for kind in ("id", "name"))


class _CellError(ValueError):
    def __init__(self, column: str, reason: str) -> None:
        self.column = column
        super().__init__(reason)


def _currency_of_headings(table: _Table) -> str | None:
    """The one currency that the headings of amounts name, if they do."""
    named = {
        column.currency: column.heading
        for column in table.columns
        if column.field in AMOUNTS and column.currency is not None
    }
    if len(named) > 1:
        raise AdsManagerFileError(
            f"more than one currency: {', '.join(named.values())}. Export one account at a time"
        )
    return next(iter(named), None)


def _texts(table: _Table, numbers: NumberFormat) -> tuple[int, ...]:
    """The unknown columns in which some cell is a text: what else the lines are split by."""

    def is_text(cell: str) -> bool:
        try:
            return not says_total(cell) and numbers.parse(cell.rstrip("%")) is None
        except ValueError:
            return True

    return tuple(
        index
        for index, column in enumerate(table.columns)
        if column.field is None
        and column.heading
        and any(is_text(cells[index]) for _, cells in table.records)
    )


def _nothing_read(bad: Sequence[BadLine]) -> str:
    if not bad:
        return "no rows below the headings: expected at least one campaign, ad set, ad or day"
    first = bad[0]
    where = f"line {first.line}" + (f", column {first.column!r}" if first.column else "")
    return f"none of its {len(bad)} lines can be read; the first is {where}: {first.reason}"


def _level(table: _Table) -> str:
    """The most detailed level that some line names."""
    for level in reversed(LEVELS):
        for kind in ("id", "name"):
            if not all(says_total(cell) for cell in table.cells(f"{level}_{kind}")):
                return level
    return LEVELS[0]


def _decode(content: bytes) -> str:
    """The text; BOMs decide, then UTF-8, then the Windows code page that knows most headings."""
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise AdsManagerFileError(
            "this is an Excel workbook: export again and choose .csv (Export table data > CSV)"
        )
    if not content.strip(b"\x00\xff\xfe\xef\xbb\xbf \r\n\t"):
        raise AdsManagerFileError("the file is empty: expected headings and rows")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _decoded(content, "utf-16")
    if b"\x00" in content[:2]:
        return _decoded(content, "utf-16-be" if content[0] == 0 else "utf-16-le")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        texts = [content.decode(name, errors="replace") for name in _LEGACY_ENCODINGS]
        return max(texts, key=lambda text: _header(text)[2])


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise AdsManagerFileError(
            f"byte {error.start} is not {encoding.upper()} as the file's first bytes promise: it "
            "was cut or damaged, export it again"
        ) from error


def _table(text: str) -> _Table:
    separator, header_index, known = _header(text)
    if not known:
        expected = ", ".join(headings_of("en")[name] for name in ("campaign_name", "day", "spend"))
        raise AdsManagerFileError(
            f"no line with headings of Ads Manager in the first {_HEADER_WITHIN}: expected names "
            f"such as {expected}, in one of the languages {', '.join(languages())}"
        )
    bad: list[BadLine] = []
    records = list(_records(text, separator, bad))
    header = records[header_index][1]
    table = _Table([identify(cell) for cell in header], [], bad)
    for line, cells in records[header_index + 1 :]:
        surplus = [cell for cell in cells[len(header) :] if cell.strip()]
        if surplus or len(cells) < len(header):
            reason = f"{len(cells)} cells, expected {len(header)} as in the headings"
            bad.append(BadLine(line, None, reason))
        else:
            table.records.append((line, cells))
    return table


def _header(text: str) -> tuple[str, int, int]:
    """Separator, index of the header among the records that have cells, known headings in it."""
    best = (",", 0, 0)
    for separator in _SEPARATORS:
        for index, (_, cells) in enumerate(_records(text, separator, [])):
            if index >= _HEADER_WITHIN:
                break
            known = sum(identify(cell).field is not None for cell in cells)
            if known > best[2]:
                best = (separator, index, known)
    return best


def _records(text: str, separator: str, bad: list[BadLine]) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every record that has any; wrongly quoted lines go to ``bad``."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                bad.append(BadLine(line, None, "a quote that is never closed swallows the rest"))
                return
            bad.append(BadLine(line, None, f"wrongly quoted ({error})"))
            continue
        if any(cell.strip() for cell in cells):
            yield line, cells
