"""Insights: rows as Meta's ``/insights`` edge returns them, from any ``AccountSource``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from meta_graph_simulator.accounts.local_time import local_date
from meta_graph_simulator.accounts.source import (
    AccountSource,
    DayDelivery,
    LevelFault,
    ParameterError,
)
from meta_graph_simulator.graph.fields import catalogue
from meta_graph_simulator.insights.query import InsightsQuery
from meta_graph_simulator.insights.rows import DEFAULT_FIELDS, Row, RowWriter
from meta_graph_simulator.insights.scope import (
    Filters,
    Scope,
    keeps_action_type,
    keeps_row,
    read_filters,
)
from meta_graph_simulator.insights.table import build_table, columns_for
from meta_graph_simulator.insights.validation import (
    HOURLY,
    HOURLY_RETENTION_MONTHS,
    check,
    months_before,
)

__all__ = ["InsightsQuery", "ParameterError", "run", "summarize"]


def run(source: AccountSource, query: InsightsQuery) -> list[dict[str, Any]]:
    """Every row of the answer, by date range, then object, then hour or segment.

    Items inside list fields (``actions`` and the like) are shared between rows: do not change them.
    Raises ParameterError for what Meta refuses.
    """
    today = local_date(source.now(), str(source.account["timezone_name"]))
    check(query, today)
    filters = read_filters(query)
    return _rows(source, query, filters, Scope(source, query, filters), today)


def summarize(source: AccountSource, query: InsightsQuery) -> dict[str, Any]:
    """The row of ``summary=``/``default_summary``: totals over the objects that ``run`` covers.

    Filters on metrics choose rows, not objects, and do not narrow the totals. Raises ParameterError
    as ``run`` does.
    """
    today = local_date(source.now(), str(source.account["timezone_name"]))
    check(query, today)
    filters = replace(read_filters(query), metrics=())
    whole = replace(query, time_increment="all_days", breakdowns=(), sort=())
    rows = _rows(source, whole, filters, Scope(source, query, filters, total=True), today)
    if rows:
        return rows[0]
    return {"date_start": query.since.isoformat(), "date_stop": query.until.isoformat()}


def _rows(
    source: AccountSource, query: InsightsQuery, filters: Filters, scope: Scope, today: date
) -> list[Row]:
    orders = [_order(text) for text in query.sort]
    fields = query.fields or DEFAULT_FIELDS
    extra = {name for name, _, _ in (*orders, *filters.metrics)} - set(fields)
    old = query.since < months_before(today, HOURLY_RETENTION_MONTHS)
    columns = columns_for(query, source.types, _countries(source, query))
    writer = RowWriter(
        scope,
        columns,
        (*fields, *extra),
        with_reach=not (old and query.breakdowns),
        with_unique_counts=not old,
    )
    if filters.action_types:
        names = {*columns.types, *columns.valued}
        writer.keep_types(frozenset(name for name in names if keeps_action_type(filters, name)))
    faults = [fault for fault in source.level_faults if fault.level == scope.level]
    answer: list[Row] = []
    for start, stop in _ranges(query):
        table = build_table(_days(source, query, start, stop, today, faults), columns, scope)
        if table is None:
            continue
        rows, groups = writer.rows(table, start, stop)
        for fault in faults:
            if fault.action == "repeat" and (fault.day is None or start <= fault.day <= stop):
                twice = [not fault.ad_id or fault.ad_id in ids for ids in table.members]
                rows += [
                    dict(row) for row, group in zip(rows, groups, strict=False) if twice[group]
                ]
        answer += [row for row in rows if keeps_row(filters, row)] if filters.metrics else rows
    for name, action_type, descending in reversed(orders):
        answer.sort(key=lambda row: _sort_key(row, name, action_type), reverse=descending)
    for row in answer if extra else ():
        for name in extra:
            row.pop(name, None)
    return answer


def _days(
    source: AccountSource,
    query: InsightsQuery,
    start: date,
    stop: date,
    today: date,
    faults: Sequence[LevelFault],
) -> Iterator[DayDelivery]:
    """Delivery day by day. Hours older than 13 months are gone; no future."""
    if HOURLY in query.breakdowns:
        start = max(start, months_before(today, HOURLY_RETENTION_MONTHS))
    day = start
    while day <= min(stop, today):
        delivery = source.delivery(day)
        for fault in faults:
            if fault.action == "drop" and fault.concerns(fault.level, day):
                kept = [ad_id != fault.ad_id and bool(fault.ad_id) for ad_id in delivery.ad_ids]
                delivery = delivery.keep(np.array(kept, dtype=np.bool_))
        yield delivery
        day += timedelta(days=1)


def _ranges(query: InsightsQuery) -> Iterator[tuple[date, date]]:
    """The date ranges of the rows: whole, by calendar month, or by a number of days."""
    if query.time_increment == "all_days":
        yield query.since, query.until
        return
    start = query.since
    while start <= query.until:
        if query.time_increment == "monthly":
            following = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        else:
            following = start + timedelta(days=int(query.time_increment))
        yield start, min(following - timedelta(days=1), query.until)
        start = following


def _countries(source: AccountSource, query: InsightsQuery) -> tuple[str, ...]:
    if "country" not in query.breakdowns:
        return ()
    found: dict[str, None] = {}
    for adset in source.objects("adset"):
        places = adset.get("targeting", {}).get("geo_locations", {})
        found.update(dict.fromkeys(places.get("countries", ())))
    return tuple(found)[:5] or ("unknown",)


def _order(text: str) -> tuple[str, str | None, bool]:
    """``spend_descending``, ``actions:link_click_ascending``: field, action type, descending."""
    name, _, direction = text.rpartition("_")
    field, _, action_type = name.partition(":")
    if direction not in {"ascending", "descending"} or field not in catalogue("insights"):
        raise ParameterError(
            f"(#100) Sort field {text} must be a field followed by _ascending or _descending",
            blame_fields=("sort",),
        )
    return field, action_type or None, direction == "descending"


def _sort_key(row: Row, name: str, action_type: str | None) -> tuple[Decimal, str]:
    value = row.get(name)
    if isinstance(value, list):
        items = [item["value"] for item in value if item["action_type"] == action_type]
        value = items[0] if items else None
    if value is None:
        return Decimal(-1), ""
    try:
        return Decimal(value), ""
    except InvalidOperation:
        return Decimal(0), str(value)
