"""What a raw insights row must be, as Pandera schemas, and the sorting of good rows from bad ones.

The schemas hold at the boundary: a row that breaks one goes to ``control.dead_letters`` with the
reason, and only that row; the others go on. Null is a metric that Meta left out, never zero.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from meta_ads_pipeline.insights_tables import InsightsTable
from meta_ads_pipeline.raw.normalize import HOUR_KEY, NormalizedRows, shown

META_FIELDS = {
    "event_date": "date_start",
    "event_hour": HOUR_KEY,
    "event_at": HOUR_KEY,
    "link_clicks": "inline_link_clicks",
    "unique_link_clicks": "unique_inline_link_clicks",
    "period_start": "date_start",
    "period_end": "date_stop",
}
"""Columns that Meta calls otherwise: reasons name Meta's field."""

_NOT_UNIQUE = "multiple_fields_uniqueness"
_EXPECTED = {
    "not_nullable": "a value (the field is required)",
    "greater_than_or_equal_to(0)": "0 or more",
    "in_range(0, 23)": "an hour from 0 to 23",
}


def _are_ids(series: pd.Series[Any]) -> pd.Series[Any]:
    ids = {value for value in set(series) if value.isascii() and value.isdigit()}
    return series.isin(ids)


class _Insights(pa.DataFrameModel):
    event_date: object
    account_id: object
    spend: object = pa.Field(nullable=True, ge=0)
    impressions: pd.Int64Dtype = pa.Field(nullable=True, ge=0)
    clicks: pd.Int64Dtype = pa.Field(nullable=True, ge=0)
    link_clicks: pd.Int64Dtype = pa.Field(nullable=True, ge=0)
    actions: object = pa.Field(nullable=True)

    @pa.check("^(account|campaign|adset|ad)_id$", regex=True, error="an id of digits")
    @classmethod
    def ids_are_digits(cls, series: pd.Series[Any]) -> pd.Series[Any]:
        """Meta ids are text of digits (beyond 2^53, so never numbers)."""
        return _are_ids(series)


class InsightsHourly(_Insights):
    """``raw.insights_hourly``: ad x account-local hour."""

    campaign_id: object
    adset_id: object
    ad_id: object
    event_hour: pd.Int64Dtype = pa.Field(in_range={"min_value": 0, "max_value": 23})
    event_at: pd.DatetimeTZDtype = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})
    hour_flag: object = pa.Field(nullable=True)

    class Config:
        """One row per ad and hour; no column beyond the declared ones."""

        strict = True
        unique = ["event_date", "ad_id", "event_hour"]  # noqa: RUF012 - Pandera's own form


class InsightsDaily(_Insights):
    """``raw.insights_daily``: ad x account-local day."""

    campaign_id: object
    adset_id: object
    ad_id: object
    reach: pd.Int64Dtype = pa.Field(nullable=True, ge=0)
    frequency: object = pa.Field(nullable=True, ge=0)
    action_values: object = pa.Field(nullable=True)
    conversions: object = pa.Field(nullable=True)
    conversion_values: object = pa.Field(nullable=True)
    attribution_setting: object = pa.Field(nullable=True)

    class Config:
        """One row per ad and day; no column beyond the declared ones."""

        strict = True
        unique = ["event_date", "ad_id"]  # noqa: RUF012 - Pandera's own form


class AccountTotals(_Insights):
    """``raw.account_totals``: ad account x account-local day."""

    reach: pd.Int64Dtype = pa.Field(nullable=True, ge=0)
    frequency: object = pa.Field(nullable=True, ge=0)
    action_values: object = pa.Field(nullable=True)
    conversions: object = pa.Field(nullable=True)
    conversion_values: object = pa.Field(nullable=True)

    class Config:
        """One row per account and day; no column beyond the declared ones."""

        strict = True
        unique = ["event_date", "account_id"]  # noqa: RUF012 - Pandera's own form


class InsightsReach(pa.DataFrameModel):
    """``raw.insights_reach``: account, campaign or ad set x period, by the period's last day."""

    event_date: object
    account_id: object
    level: object = pa.Field(isin=["account", "campaign", "adset"])
    entity_id: object
    period: object = pa.Field(isin=["day", "7d", "28d", "month"])
    period_start: object
    period_end: object
    spend: object = pa.Field(nullable=True, ge=0)
    impressions: pd.Int64Dtype = pa.Field(nullable=True, ge=0)
    clicks: pd.Int64Dtype = pa.Field(nullable=True, ge=0)
    reach: pd.Int64Dtype = pa.Field(nullable=True, ge=0)
    frequency: object = pa.Field(nullable=True, ge=0)
    unique_clicks: pd.Int64Dtype = pa.Field(nullable=True, ge=0)
    unique_link_clicks: pd.Int64Dtype = pa.Field(nullable=True, ge=0)
    omitted: object = pa.Field(nullable=True)

    @pa.check("^(account|entity)_id$", regex=True, error="an id of digits")
    @classmethod
    def ids_are_digits(cls, series: pd.Series[Any]) -> pd.Series[Any]:
        """Meta ids are text of digits (beyond 2^53, so never numbers)."""
        return _are_ids(series)

    class Config:
        """One row per object and period; no column beyond the declared ones."""

        strict = True
        unique = ["event_date", "level", "entity_id", "period"]  # noqa: RUF012 - Pandera's own form


INSIGHTS_SCHEMAS: Mapping[str, type[pa.DataFrameModel]] = {
    "insights_hourly": InsightsHourly,
    "insights_daily": InsightsDaily,
    "account_totals": AccountTotals,
    "insights_reach": InsightsReach,
}


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
    schema = INSIGHTS_SCHEMAS[table.asset].to_schema()
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
        field = META_FIELDS.get(str(case["column"]), str(case["column"]))
        expected = _EXPECTED.get(str(case["check"]), str(case["check"]))
        got = "" if case["check"] == "not_nullable" else f", got {shown(case['failure_case'])}"
        reasons[int(case["index"])].setdefault(field, f"{field}: expected {expected}{got}")
    return bool(uniqueness.any())
