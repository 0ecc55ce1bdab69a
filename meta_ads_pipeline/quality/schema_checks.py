"""The schema check of a raw table: its Pandera model over every row of the run's scope."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import pandera.pandas as pa

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.raw_models import LandedTable
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.quality.violations import Violations

CHUNK_ROWS = 200_000
"""Rows in memory at once (about 60 MB); more only where a single day or account has more."""

_BY_DATE = "event_date"


def check_landed_table(
    database: Database, table: LandedTable, scope: CheckScope, chunk_rows: int = CHUNK_ROWS
) -> Violations:
    """Validate the scope's rows: of its dates for insights, all current ones for entities.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    violations = Violations()
    for frame in read_landed(database, table, scope, chunk_rows):
        violations.add(table.model, frame, table.key)
    return violations


def read_landed(
    database: Database, table: LandedTable, scope: CheckScope, chunk_rows: int
) -> Iterator[pd.DataFrame]:
    """The scope's rows as frames of the model's columns, whole days (or accounts) at a time."""
    parameters: dict[str, Any] = {
        "accounts": scope.account_ids,
        "start": scope.window.start,
        "end": scope.window.end,
    }
    where = "t.account_id = any(%(accounts)s)"
    if table.bucket == _BY_DATE:
        where += " and t.event_date between %(start)s and %(end)s"
    schema = table.model.to_schema()
    with database.connect() as connection:
        counts = connection.execute(
            f"select t.{table.bucket} as bucket, count(*) as rows"
            f" from raw.{table.asset} as t where {where} group by 1 order by 1",
            parameters,
        ).fetchall()
        sizes = {row["bucket"]: int(row["rows"]) for row in counts}
        for buckets in packed(sizes, chunk_rows):
            query = (
                f"copy (select {_columns(schema)} from raw.{table.asset} as t"
                " left join control.ad_accounts as a on a.account_id = t.account_id"
                f" where {where} and t.{table.bucket} = any(%(buckets)s))"
                " to stdout (format csv, header)"
            )
            with connection.cursor().copy(query, {**parameters, "buckets": buckets}) as copy:
                yield _frame(b"".join(copy), schema)


def packed(sizes: Mapping[Any, int], limit: int) -> Iterator[list[Any]]:
    """Buckets in order, put together as long as they hold at most ``limit`` rows."""
    chunk: list[Any] = []
    rows = 0
    for bucket, size in sizes.items():
        if chunk and rows + size > limit:
            yield chunk
            chunk, rows = [], 0
        chunk.append(bucket)
        rows += size
    if chunk:
        yield chunk


def _columns(schema: pa.DataFrameSchema) -> str:
    return ", ".join(
        f"{(column.metadata or {}).get('sql', f't.{name}')} as {name}"
        for name, column in schema.columns.items()
    )


def _frame(csv: bytes, schema: pa.DataFrameSchema) -> pd.DataFrame:
    dtypes = {name: _csv_type(column.dtype) for name, column in schema.columns.items()}
    return pd.read_csv(
        io.BytesIO(csv),
        dtype=dtypes,
        true_values=["t"],
        false_values=["f"],
        keep_default_na=False,
        na_values=[""],
    )


def _csv_type(dtype: Any) -> Any:
    return "str" if str(dtype).startswith(("str", "string")) else dtype.type
