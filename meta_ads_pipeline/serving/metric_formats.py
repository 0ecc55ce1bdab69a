"""An answer as a file: CSV, Arrow, Parquet. Amounts stay exact decimals."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from meta_ads_pipeline.semantic.answer import Answer

CSV, ARROW, PARQUET = "csv", "arrow", "parquet"

MEDIA_TYPES = {
    CSV: "text/csv; charset=utf-8",
    ARROW: "application/vnd.apache.arrow.stream",
    PARQUET: "application/vnd.apache.parquet",
}

_NUMBER = pa.decimal128(38, 9)
"""Of columns without any value; others have the digits that their values need."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_file(answer: Answer, kind: str) -> bytes:
    """The rows, one column for each of ``answer.columns``."""
    if kind == CSV:
        return _csv(answer)
    table = pa.table({name: _column(name, answer) for name in answer.columns})
    sink = io.BytesIO()
    if kind == ARROW:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        pq.write_table(table, sink)
    return sink.getvalue()


def _csv(answer: Answer) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180
    writer.writerow(answer.columns)
    for row in answer.rows:
        writer.writerow(_cell(row[name]) for name in answer.columns)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """As text. A name that a spreadsheet would take for a formula is marked as text."""
    if value is None:
        return ""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def _column(name: str, answer: Answer) -> pa.Array:
    values = [row[name] for row in answer.rows]
    known = [value for value in values if value is not None]
    if any(isinstance(value, Decimal) for value in known):
        values = [Decimal(value) if isinstance(value, int) else value for value in values]
        return pa.array(values)
    if known and isinstance(known[0], datetime) and known[0].tzinfo is not None:
        return _instants(values, str(known[0].tzinfo))
    if known:
        return pa.array(values)
    return pa.array(values, type=pa.string() if _is_text(name, answer) else _NUMBER)


def _instants(values: Sequence[datetime | None], timezone: str) -> pa.Array:
    """By way of whole microseconds since 1970: pyarrow's own way has been seen two hours off."""
    since_1970 = [
        None if value is None else (value - _EPOCH) // timedelta(microseconds=1) for value in values
    ]
    return pa.array(since_1970, type=pa.int64()).cast(pa.timestamp("us", tz=timezone))


def _is_text(name: str, answer: Answer) -> bool:
    return answer.columns.index(name) < _first_measure(answer)


def _first_measure(answer: Answer) -> int:
    return len(answer.columns) - answer.measure_columns
