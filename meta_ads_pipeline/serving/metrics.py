"""Metrics for Prometheus, read from the database at each scrape: right across all processes."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.serving.access import Problem

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Query:
    """One metric: the columns named in ``labels`` and ``column`` of each row of ``sql``.

    Metrics with the same ``sql`` are read together.

    A counter's rows are totals of what the database still keeps; Prometheus takes a total that
    shrinks when old rows are deleted for a restart of the counter.
    """

    name: str
    documentation: str
    sql: LiteralString
    labels: Sequence[str] = ()
    is_counter: bool = False
    column: str = "value"

    def family(self, rows: Sequence[dict[str, object]]) -> Metric:
        """The metric with a sample for each row; null is no sample."""
        of_kind = CounterMetricFamily if self.is_counter else GaugeMetricFamily
        family: Metric = of_kind(self.name, self.documentation, labels=list(self.labels))
        for row in rows:
            value = row[self.column]
            if value is not None:
                family.add_metric(  # type: ignore[attr-defined]
                    [str(row[label] or "") for label in self.labels],
                    float(value),  # type: ignore[arg-type]
                )
        return family


_LOADS: LiteralString = """
with loads as (
    select asset, count(*) filter (where started_at is not null) as loads,
        sum(extract(epoch from loaded_at - started_at)) as seconds,
        sum(rows_inserted) as inserted, sum(rows_updated) as updated, sum(rows_deleted) as deleted,
        sum(rows_dead_lettered) as dead_lettered
    from control.slice_loads group by asset
)
select asset, change, rows, case change when 'inserted' then nullif(loads, 0) end as loads,
    case change when 'inserted' then seconds end as seconds
from loads cross join lateral (values ('inserted', inserted), ('updated', updated),
    ('deleted', deleted), ('dead_lettered', dead_lettered)) as counted (change, rows)
"""
"""Four rows for each asset; what is known of the asset as a whole is in one of them."""

_CALLS: LiteralString = (
    "select account_id, use_case, sum(calls) as calls, sum(wasted) as wasted"
    " from control.call_counts group by 1, 2"
)

_BUDGETS: LiteralString = (
    "select account_id, use_case, max(percent) as percent,"
    " max((blocked_until > now())::integer) as blocked from control.call_budgets group by 1, 2"
)

_FRESHNESS: LiteralString = (
    "select account_id, data_lag_minutes, is_late::integer as is_late, held_days, missing_days"
    " from marts.freshness where is_active"
)

_RESTATEMENTS: LiteralString = (
    "select account_id, asset, count(*) as number, sum(abs(change))"
    " filter (where asset = 'account_totals' and measure = 'spend') as spend"
    " from marts.restatements group by 1, 2"
)

_LIVE = "join control.ad_accounts as a using (account_id) where a.is_active"

QUERIES: Sequence[Query] = (
    Query(
        "meta_ads_slices",
        "Slices of active ad accounts by asset and status.",
        f"select asset, status, count(*) as value from control.slices {_LIVE} group by 1, 2",
        ("asset", "status"),
    ),
    Query(
        "meta_ads_landed_rows",
        "Rows that loads changed: inserted, updated, deleted, dead-lettered.",
        _LOADS,
        ("asset", "change"),
        is_counter=True,
        column="rows",
    ),
    Query(
        "meta_ads_slice_loads",
        "Times a slice was landed.",
        _LOADS,
        ("asset",),
        is_counter=True,
        column="loads",
    ),
    Query(
        "meta_ads_slice_load_seconds",
        "Seconds from the first call for a slice to its rows landed; over slice_loads: the mean.",
        _LOADS,
        ("asset",),
        is_counter=True,
        column="seconds",
    ),
    Query(
        "meta_ads_slice_failures",
        "Times a slice could not be pulled, by the kind of error.",
        "select asset, error_kind, count(*) as value from control.slice_failures group by 1, 2",
        ("asset", "error_kind"),
        is_counter=True,
    ),
    Query(
        "meta_ads_api_calls",
        "Graph API calls as Meta counts them, by ad account and use case.",
        _CALLS,
        ("account_id", "use_case"),
        is_counter=True,
        column="calls",
    ),
    Query(
        "meta_ads_api_calls_wasted",
        "Graph API calls that ended in an error.",
        _CALLS,
        ("account_id", "use_case"),
        is_counter=True,
        column="wasted",
    ),
    Query(
        "meta_ads_call_budget_used_percent",
        "How much of each of Meta's limits is used, as last read.",
        _BUDGETS,
        ("account_id", "use_case"),
        column="percent",
    ),
    Query(
        "meta_ads_call_budget_blocked",
        "1 while Meta refuses the calls of a limit.",
        _BUDGETS,
        ("account_id", "use_case"),
        column="blocked",
    ),
    Query(
        "meta_ads_data_lag_minutes",
        "Minutes since the end of the newest hour that the marts have.",
        _FRESHNESS,
        ("account_id",),
        column="data_lag_minutes",
    ),
    Query(
        "meta_ads_is_late",
        "1 where an hour that should be there is not.",
        _FRESHNESS,
        ("account_id",),
        column="is_late",
    ),
    Query(
        "meta_ads_held_account_days",
        "Account-days held out of the facts because they do not reconcile.",
        _FRESHNESS,
        ("account_id",),
        column="held_days",
    ),
    Query(
        "meta_ads_missing_account_days",
        "Account-days inside the history that were never pulled.",
        _FRESHNESS,
        ("account_id",),
        column="missing_days",
    ),
    Query(
        "meta_ads_restated_values",
        "Values that a later pull of a day changed.",
        _RESTATEMENTS,
        ("account_id", "asset"),
        is_counter=True,
        column="number",
    ),
    Query(
        "meta_ads_restated_spend",
        "Spend that later pulls of a day added or took away, in the account's currency.",
        _RESTATEMENTS,
        ("account_id",),
        is_counter=True,
        column="spend",
    ),
    Query(
        "meta_ads_dead_letters",
        "Rows and objects that could not be used, by asset and status.",
        "select asset, status, count(*) as value from control.dead_letters group by 1, 2",
        ("asset", "status"),
    ),
    Query(
        "meta_ads_alerts_open",
        "Open alerts by kind and severity.",
        "select kind, severity, count(*) as value from control.alerts"
        " where resolved_at is null group by 1, 2",
        ("kind", "severity"),
    ),
    Query(
        "meta_ads_token_days_left",
        "Days until a connection's token, or its data access, ends; none: it does not end.",
        "select w.name as workspace, c.name as connection,"
        " extract(epoch from least(expires_at, data_access_expires_at) - now()) / 86400 as value"
        " from control.connections as c join control.workspaces as w using (workspace_id)",
        ("workspace", "connection"),
    ),
    Query(
        "meta_ads_webhook_requests",
        "Requests to the webhook receiver by outcome.",
        "select outcome, sum(requests) as value from control.webhook_requests group by 1",
        ("outcome",),
        is_counter=True,
    ),
    Query(
        "meta_ads_webhook_events",
        "Changes that webhooks announced, by status.",
        "select status, count(*) as value from control.webhook_events group by 1",
        ("status",),
    ),
    Query(
        "meta_ads_webhook_oldest_pending_seconds",
        "Age of the oldest announced change whose object is not read again yet.",
        "select coalesce(extract(epoch from now() - min(first_received_at)), 0) as value"
        " from control.webhook_events where status = 'pending'",
    ),
    Query(
        "meta_ads_syncs",
        "Requests for a range of dates by status.",
        "select status, count(*) as value from control.syncs group by 1",
        ("status",),
    ),
    Query(
        "meta_ads_database_bytes",
        "Size of the database by schema.",
        "select nspname as schema, sum(pg_total_relation_size(k.oid)) as value"
        " from pg_class as k join pg_namespace as n on n.oid = k.relnamespace"
        " where relkind in ('r', 'm') and nspname in ('control', 'raw', 'partitions', 'marts',"
        " 'intermediate', 'dagster') group by 1",
        ("schema",),
    ),
)


class DatabaseCollector(Collector):
    """Every metric of ``QUERIES``, and the room on the disk of ``home``.

    One that cannot be read is left out and counted.
    """

    def __init__(self, database: Database, home: Path) -> None:
        self._database, self._home = database, home

    def collect(self) -> Iterator[Metric]:
        """One transaction for all: the numbers fit each other."""
        free = GaugeMetricFamily(
            "meta_ads_disk_free_bytes", "Room left on the disk of META_ADS_HOME, where this runs."
        )
        free.add_metric([], shutil.disk_usage(self._home if self._home.exists() else "/").free)
        yield free
        unreadable = GaugeMetricFamily(
            "meta_ads_metric_unreadable", "1 for a metric that cannot be read now.", labels=["name"]
        )
        with self._database.connect() as connection:
            read: dict[str, list[dict[str, object]] | psycopg.Error] = {}
            for query in QUERIES:
                if query.sql not in read:
                    try:
                        with connection.transaction():
                            read[query.sql] = connection.execute(query.sql).fetchall()
                    except psycopg.Error as error:
                        read[query.sql] = error
                rows = read[query.sql]
                if isinstance(rows, psycopg.errors.UndefinedTable):
                    continue  # the marts are not built yet
                if isinstance(rows, psycopg.Error):
                    logger.warning("metric %s: %s", query.name, rows)
                    unreadable.add_metric([query.name], 1)
                    continue
                yield query.family(rows)
        yield unreadable


def metrics_router(database: Database, home: Path) -> APIRouter:
    """``/metrics`` in Prometheus' text format."""
    router = APIRouter(tags=["metrics"])
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DatabaseCollector(database, home))

    @router.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            503: {"model": Problem, "description": "The database is away."},
        },
    )
    def metrics() -> Response:
        """What the pipeline did and how it stands, from the database."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
