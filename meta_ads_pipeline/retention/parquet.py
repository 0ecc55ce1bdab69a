"""One partition of a table as a Parquet file, and back, with values unchanged.

The file has the table's columns: ``numeric`` as decimals of the largest scale there is, ``jsonb``
as its text, instants in UTC. It is readable by anything that reads Parquet.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg import sql

from meta_ads_pipeline.control.database import Connection
from meta_ads_pipeline.errors import MetaAdsError

_ROWS_AT_ONCE = 20_000
_TYPES: Mapping[str, pa.DataType] = {
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "integer": pa.int32(),
    "jsonb": pa.string(),
    "smallint": pa.int16(),
    "text": pa.string(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}
_SUMS = ("spend", "impressions", "clicks", "link_clicks")

Totals = Mapping[tuple[Any, ...], tuple[Any, ...]]
"""By account and date: rows, and the sums of spend, impressions, clicks and link clicks."""


class ArchiveError(MetaAdsError):
    """A month cannot be archived or restored; nothing was changed."""


def write(connection: Connection, table: sql.Identifier, order: Sequence[str], path: Path) -> None:
    """Write a table's rows to a new file and have the disk keep it. Raises ``ArchiveError``."""
    schema = _schema(connection, table)
    values = [
        sql.SQL("{}::text").format(sql.Identifier(field.name))
        if field.metadata == {b"postgres": b"jsonb"}
        else sql.Identifier(field.name)
        for field in schema
    ]
    query = sql.SQL("select {} from {} order by {}").format(
        sql.SQL(", ").join(values),
        table,
        sql.SQL(", ").join(map(sql.Identifier, order)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for rows in _batches(connection, query):
                columns = [list(column) for column in zip(*rows, strict=True)]
                arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        file.flush()
        os.fsync(file.fileno())


def read(connection: Connection, path: Path, table: sql.Identifier) -> None:
    """Add a file's rows to a table that has all of its columns."""
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        statement = sql.SQL("copy {} ({}) from stdin").format(
            table, sql.SQL(", ").join(map(sql.Identifier, names))
        )
        with connection.cursor().copy(statement) as copy:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    copy.write_row(row)


def totals_of_file(path: Path) -> Totals:
    """What the file holds of each account and date."""
    table = pq.read_table(path, columns=["account_id", "event_date", *_SUMS])
    sums = [(name, "sum", pc.ScalarAggregateOptions(min_count=1)) for name in _SUMS]
    groups = table.group_by(["account_id", "event_date"]).aggregate([([], "count_all"), *sums])
    names = ["account_id", "event_date", "count_all", *(f"{name}_sum" for name in _SUMS)]
    return _by_account_date(zip(*(groups[name].to_pylist() for name in names), strict=True))


def totals_of_table(connection: Connection, table: sql.Identifier) -> Totals:
    """The same of the table."""
    sums = sql.SQL(", ").join(sql.SQL("sum({})").format(sql.Identifier(name)) for name in _SUMS)
    query = sql.SQL("select account_id, event_date, count(*), {} from {} group by 1, 2")
    with connection.cursor(row_factory=_plain) as cursor:
        return _by_account_date(cursor.execute(query.format(sums, table)).fetchall())


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _by_account_date(rows: Any) -> Totals:
    return {tuple(row[:2]): tuple(row[2:]) for row in rows}


def _plain(_cursor: Any) -> Any:
    return tuple


def _batches(connection: Connection, query: sql.Composed) -> Iterator[list[tuple[Any, ...]]]:
    with connection.cursor(name="archive", row_factory=_plain) as cursor:
        cursor.execute(query)
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield rows


def _schema(connection: Connection, table: sql.Identifier) -> pa.Schema:
    """The Arrow types of a table's columns. Raises ``ArchiveError`` on one that has none."""
    columns = connection.execute(
        "select attname as name, format_type(atttypid, null) as type from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
        [table.as_string(connection)],
    ).fetchall()
    fields = []
    for column in columns:
        name, kind = column["name"], column["type"]
        if kind == "numeric":
            fields.append(pa.field(name, pa.decimal128(38, _scale(connection, table, name))))
        elif kind in _TYPES:
            fields.append(pa.field(name, _TYPES[kind], metadata={"postgres": kind}))
        else:
            raise ArchiveError(
                f"column {name} has the type {kind}, which the archive does not know"
            )
    return pa.schema(fields)


def _scale(connection: Connection, table: sql.Identifier, column: str) -> int:
    query = sql.SQL("select coalesce(max(scale({})), 0) as scale from {}")
    row = connection.execute(query.format(sql.Identifier(column), table)).fetchone()
    assert row is not None
    scale: int = row["scale"]
    return scale


def same(one: Totals, other: Totals) -> bool:
    """Whether both hold the same accounts and dates, with the same counts and sums."""
    return {key: tuple(map(_number, values)) for key, values in one.items()} == {
        key: tuple(map(_number, values)) for key, values in other.items()
    }


def _number(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)
