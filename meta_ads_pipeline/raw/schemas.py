"""What a raw insights row must be, as Pandera schemas, and the sorting of good rows from bad ones.

The schemas hold at the boundary: a row that breaks one goes to ``control.dead_letters`` with the
reason, and only that row; the others go on. Null is a metric that Meta left out, never zero.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from types import MappingProxyType
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from meta_ads_pipeline.insights_tables import (
    REACH_LEVELS,
    REACH_PERIODS,
    VALUES,
    InsightsTable,
    ValueKind,
    meta_field,
)
from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN
from meta_ads_pipeline.raw.normalize import NormalizedRows, shown

_PLACES = {
    "event_date": "date_start",
    "event_hour": HOURLY_BREAKDOWN,
    "event_at": HOURLY_BREAKDOWN,
    "period_start": "date_start",
    "period_end": "date_stop",
}
"""Where columns of time come from: reasons name Meta's field."""

_NOT_UNIQUE = "multiple_fields_uniqueness"
_EXPECTED = {
    "not_nullable": "a value (the field is required)",
    "greater_than_or_equal_to(0)": "0 or more",
    "in_range(0, 23)": "an hour from 0 to 23",
}


def _are_ids(series: pd.Series[Any]) -> pd.Series[Any]:
    """Meta ids are text of digits (beyond 2^53, so never numbers)."""
    ids = {value for value in set(series) if value.isascii() and value.isdigit()}
    return series.isin(ids)


_VALUE_COLUMNS: Mapping[ValueKind, Callable[[], pa.Column]] = MappingProxyType(
    {
        "decimal": lambda: pa.Column(object, pa.Check.ge(0), nullable=True),
        "integer": lambda: pa.Column(pd.Int64Dtype(), pa.Check.ge(0), nullable=True),
        "list": lambda: pa.Column(object, nullable=True),
        "text": lambda: pa.Column(object, nullable=True),
    }
)
_OTHER_COLUMNS: Mapping[str, Callable[[], pa.Column]] = MappingProxyType(
    {
        "event_hour": lambda: pa.Column(pd.Int64Dtype(), pa.Check.in_range(0, 23)),
        "event_at": lambda: pa.Column(pd.DatetimeTZDtype("us", "UTC")),
        "hour_flag": lambda: pa.Column(object, nullable=True),
        "level": lambda: pa.Column(object, pa.Check.isin(REACH_LEVELS)),
        "period": lambda: pa.Column(object, pa.Check.isin(REACH_PERIODS)),
        "omitted": lambda: pa.Column(object, nullable=True),
    }
)


def _column(name: str) -> pa.Column:
    if name in VALUES:
        return _VALUE_COLUMNS[VALUES[name]]()
    if name in _OTHER_COLUMNS:
        return _OTHER_COLUMNS[name]()
    checks = [pa.Check(_are_ids, error="an id of digits")] if name.endswith("_id") else []
    return pa.Column(object, checks)


@cache
def _schema_of(table: InsightsTable) -> pa.DataFrameSchema:
    """One row for each key, and no column beyond the declared ones."""
    columns = ("account_id", *table.columns)
    return pa.DataFrameSchema(
        {name: _column(name) for name in columns},
        name=table.name,
        strict=True,
        unique=["account_id", *table.key],
    )


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: its place in the answer, the first field at fault, why."""

    position: int
    field: str
    reason: str


@dataclass(frozen=True)
class ValidatedRows:
    """The good rows (unique on the table's key), the bad ones, and how many copies were dropped."""

    frame: pd.DataFrame
    bad: list[BadRow]
    repeated: int


def validate(
    normalized: NormalizedRows, table: InsightsTable, account_id: str, dates: Collection[date]
) -> ValidatedRows:
    """Sort the rows of one answer about ``account_id`` and the account-local ``dates``.

    The same row sent twice counts once. Where two rows of one pull have the same key but other
    numbers, the one read later is kept, as the fresher one, and the earlier is bad: reconciliation
    with the other pulls tells whether that choice was right.
    """
    reasons: dict[int, dict[str, str]] = defaultdict(dict)
    for problem in normalized.problems:
        reasons[problem.position].setdefault(problem.field, problem.reason)
    not_unique = _apply(_schema(table, account_id, dates), normalized.frame, reasons)
    frame = normalized.frame
    if reasons:
        frame = frame.drop(index=list(reasons))
    repeated = 0
    if not_unique:
        later = frame.duplicated(["account_id", *table.key], keep="last")
        copies = frame.duplicated(keep="last")
        repeated = int((later & copies).sum())
        for position in frame.index[later & ~copies].tolist():
            reasons[position]["row"] = (
                f"row: expected one row per {', '.join(table.key)} in a pull; "
                "a later row of the same pull has other numbers and was kept"
            )
        frame = frame[~later]
    bad = [_bad_row(position, fields) for position, fields in sorted(reasons.items())]
    return ValidatedRows(frame, bad, repeated)


def _bad_row(position: int, fields: Mapping[str, str]) -> BadRow:
    if "row" in fields:
        # A row that is no object lacks every field: one reason says it.
        return BadRow(position, "row", fields["row"])
    return BadRow(position, next(iter(fields)), "; ".join(fields.values()))


def _schema(table: InsightsTable, account_id: str, dates: Collection[date]) -> pa.DataFrameSchema:
    """The table's schema, narrowed to what was asked for."""
    schema = _schema_of(table)
    asked = {
        "event_date": pa.Check.isin(
            list(dates), error=f"one of the dates asked for ({min(dates)} to {max(dates)})"
        ),
        "account_id": pa.Check.equal_to(account_id, error=f"the account asked for ({account_id})"),
    }
    for column, check in asked.items():
        checks = [*schema.columns[column].checks, check]
        schema = schema.update_column(column, checks=checks)
    return schema


def _apply(
    schema: pa.DataFrameSchema, frame: pd.DataFrame, reasons: dict[int, dict[str, str]]
) -> bool:
    """Add what the schema finds to ``reasons``; returns whether keys are not unique."""
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return False
    uniqueness = cases["check"] == _NOT_UNIQUE
    for case in cases[~uniqueness].to_dict("records"):
        if case["index"] is None:
            # Not about a row: our own frame does not have the declared shape.
            raise ValueError(f"{schema.name}: {case['check']} ({case['failure_case']})")
        column = str(case["column"])
        field = _PLACES.get(column) or meta_field(column)
        expected = _EXPECTED.get(str(case["check"]), str(case["check"]))
        got = "" if case["check"] == "not_nullable" else f", got {shown(case['failure_case'])}"
        reasons[int(case["index"])].setdefault(field, f"{field}: expected {expected}{got}")
    return bool(uniqueness.any())
