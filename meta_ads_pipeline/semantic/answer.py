"""Ask a question and say how far its numbers can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.row_security import in_workspace
from meta_ads_pipeline.control.timezones import today_in
from meta_ads_pipeline.semantic.layer import Ratio, SemanticLayer, Sum, semantic_layer
from meta_ads_pipeline.semantic.query import ACCOUNT_TIMEZONE, MetricQuery
from meta_ads_pipeline.semantic.statement import (
    account_statement,
    metric_statement,
    unavailable_measures,
)
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

OTHER_CALENDAR = (
    "conversions are by the account's own date, delivery by {timezone}: dividing one by the other "
    "would mix two days. Ask with timezone=account"
)


@dataclass(frozen=True)
class Trust:
    """How fresh, settled and reconciled an answer is, over the account-days it adds up.

    ``is_settled``: Meta no longer restates any of it. ``is_reconciled``: the three pulls of each
    account-day agree. ``held_days``: whose newest numbers are kept out until they agree. None where
    no account-day of Meta is in the answer. Times are UTC.
    """

    account_days: int
    settled_days: int
    open_days: int
    held_days: list[str]
    is_settled: bool | None
    is_reconciled: bool | None
    oldest_pull_at: datetime | None
    newest_pull_at: datetime | None
    last_hour_at: datetime | None


@dataclass(frozen=True)
class Answer:
    """The rows in order, as ``columns`` names their values.

    ``total_rows`` are those without limit and offset. ``unavailable``: measures that are null
    throughout, with the reason. ``notes``: what to know besides.
    """

    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    total_rows: int
    unavailable: dict[str, str]
    notes: list[str]
    trust: Trust
    marts: tuple[str, ...]
    measure_columns: int
    """How many columns, at the end, are of measures."""


def dates_asked_for(
    database: Database, workspace_id: str, start: date | None, end: date | None
) -> tuple[date, date]:
    """Both inclusive; unset, the end is the workspace's today, the start six days before it."""
    last = end or today_in(database, workspace_id)
    return start or last - timedelta(days=6), last


def ask(database: Database, workspace_id: str, query: MetricQuery, *, raw: bool = False) -> Answer:
    """Answer ``query`` from this workspace's rows, all of it in one transaction.

    ``raw``: from ``metric_facts`` even where a rollup has the same sums. Raises
    ``MartsMissingError`` before the first build, ``psycopg.errors.QueryCanceled`` after 30 seconds.
    """
    layer = semantic_layer()

    def work(connection: Connection) -> Answer:
        statement = metric_statement(
            query, layer, workspace_id, raw=raw or _cuts_hours(query, connection)
        )
        rows = connection.execute(statement.query, statement.parameters).fetchall()
        total = rows[0]["total_rows"] if rows else 0
        unavailable = unavailable_measures(query, layer)
        if any(not row["is_one_calendar"] for row in rows):
            for measure in query.measures:
                parts = {layer.sums[part].known_by for part in layer.parts(measure)}
                if len(parts) > 1 and measure not in unavailable:
                    unavailable[measure] = OTHER_CALENDAR.format(timezone=query.timezone)
        columns = _columns(query, layer)
        return Answer(
            columns=columns,
            rows=_plain_rows(rows, columns, query, layer),
            total_rows=total,
            unavailable=unavailable,
            notes=_notes(query, layer, connection),
            trust=_trust(connection, query, layer, workspace_id),
            marts=statement.marts,
            measure_columns=len(set(query.measures)) * (1 if query.compare is None else 3),
        )

    return in_workspace(database, workspace_id, work)


def _cuts_hours(query: MetricQuery, connection: Connection) -> bool:
    """Whether facts by the minute could fall into another of the reader's hours than a rollup's."""
    if query.timezone == ACCOUNT_TIMEZONE:
        return False
    row = connection.execute(
        "select exists (select from marts.metric_facts where grain = 'minute'"
        " and event_date between %s::date - 2 and %s::date + 2) as found",
        [min(query.start, (query.previous_dates or (query.start,))[0]), query.end],
    ).fetchone()
    return row is not None and bool(row["found"])


def _columns(query: MetricQuery, layer: SemanticLayer) -> tuple[str, ...]:
    named: list[str] = []
    for name in query.columns:
        named.append(name)
        if name in query.groups and layer.dimensions[name].name is not None:
            named.append(f"{name}_name")
    if query.top is not None:
        named.insert(named.index(query.measures[0]), "is_rest")
    return tuple(named)


def _plain_rows(
    rows: Sequence[dict[str, Any]], columns: Sequence[str], query: MetricQuery, layer: SemanticLayer
) -> list[dict[str, Any]]:
    """Counts are integers where they are whole; instants are in the reader's timezone."""
    found = [{name: row[name] for name in columns} for row in rows]
    for name in columns:
        measure = layer.sums.get(name.removeprefix("previous_"))
        if measure is not None and measure.unit == "count":
            for row in found:
                value = row[name]
                if isinstance(value, Decimal) and value == value.to_integral_value():
                    row[name] = int(value)
        elif name == "time" and query.timezone != ACCOUNT_TIMEZONE:
            zone = ZoneInfo(query.timezone)
            for row in found:
                if isinstance(row[name], datetime):
                    row[name] = row[name].astimezone(zone)
    return found


def _notes(query: MetricQuery, layer: SemanticLayer, connection: Connection) -> list[str]:
    """What the rows cannot say themselves: facts that have no time of the day."""
    by_hour = [
        part
        for measure in query.measures
        for part in layer.parts(measure)
        if layer.sums[part].known_by == "hour"
    ]
    if query.breakdown is None or not query.breakdown.is_by_clock or not by_hour:
        return []
    left_out = "day" if query.breakdown != "minute" else "hour"
    row = connection.execute(
        # The condition of an index, word for word: of days there are few such rows.
        "select exists (select from marts.metric_facts where event_date between %s and %s"
        f" and grain = '{left_out}'"
        " and num_nonnulls(spend, impressions, clicks, link_clicks) > 0) as found",
        [query.start, query.end],
    ).fetchone()
    if row is None or not row["found"]:
        return []
    return [
        f"some facts of these dates are known by the {left_out} only and have no place in a "
        f"breakdown by {query.breakdown}"
    ]


def _trust(
    connection: Connection, query: MetricQuery, layer: SemanticLayer, workspace_id: str
) -> Trust:
    statement = account_statement(query, layer, workspace_id)
    accounts: Sequence[str] = [
        row["account_id"]
        for row in connection.execute(statement.query, statement.parameters)
        if row["provider"] == "meta"
    ]
    slack = 0 if query.timezone == ACCOUNT_TIMEZONE else 1
    row = connection.execute(
        sql("trust_of_days"),
        {
            "accounts": accounts,
            "start": date.fromordinal(query.start.toordinal() - slack),
            "end": date.fromordinal(query.end.toordinal() + slack),
        },
    ).fetchone()
    last = connection.execute(
        "select min(last_hour_at) as last_hour_at from serving.freshness"
        " where account_id = any(%s)",
        [accounts],
    ).fetchone()
    assert row is not None
    assert last is not None
    return Trust(**row, **last)


@cache
def unit_of(measure: str) -> str:
    """money, count, percent, ratio, or people."""
    kind = semantic_layer().measures[measure]
    return kind.unit if isinstance(kind, Sum | Ratio) else "people"
