"""A warehouse for the dbt project: raw rows go in by SQL, dbt runs in process, marts come out."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from dbt.cli.main import dbtRunner, dbtRunnerResult
from psycopg import sql

from meta_ads_pipeline.control.database import Database, export_environment
from meta_ads_pipeline.transform.relations import TABLES

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
WORKSPACE = "00000000-0000-0000-0000-000000000001"
PULLED = datetime(2026, 11, 21, 3, tzinfo=UTC)
DIMENSIONS = "path:models/marts/dimensions"


def tables_behind(*models: str) -> str:
    """dbt's selection of models and the tables that they are made of, without the views."""
    return " ".join(f"+{model},config.materialized:incremental" for model in models)


ANOMALIES = tables_behind("anomalies")

TABLES_AND_VIEWS = f"{TABLES} config.materialized:view"
"""For tests that drop tables: views go with them."""

INSIGHTS = ("insights_hourly", "insights_daily", "account_totals")
Hour = tuple[str, int, int]
"""Spend, impressions, clicks."""


@dataclass
class AdDay:
    """What one ad did on one day: delivery by hour label, actions and values of the day."""

    ad_id: str
    hours: Mapping[int, Hour] = field(default_factory=dict)
    actions: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)

    def total(self, position: int) -> Decimal:
        """The day's sum of one of the hour's measures."""
        return sum((Decimal(hour[position]) for hour in self.hours.values()), Decimal(0))


def own_id(account_id: str, entity_id: str) -> str:
    """The id of an account's entity: itself in account 1, with the account in front in others."""
    return entity_id if account_id == "1" else f"{account_id}0{entity_id}"


def _actions(by_type: Mapping[str, str]) -> str | None:
    items = [{"action_type": name, "value": value} for name, value in by_type.items()]
    return json.dumps(items) if items else None


class Warehouse:
    """The database behind the project, with the loader's and dbt's part of the work."""

    def __init__(self, database: Database, runner: dbtRunner, target: Path) -> None:
        self.database = database
        self._runner = runner
        self._target = target
        self.built: set[str] = set()
        """The relations that there were when the warehouse had been built."""

    @classmethod
    def parsed(cls, database: Database, target: Path) -> Warehouse:
        """A warehouse with the project parsed, from what ``target`` has of an earlier parse."""
        parsed = cls(database, dbtRunner(), target).dbt("parse")
        assert parsed.success, parsed.exception
        return cls(database, dbtRunner(manifest=parsed.result), target)

    def relations(self) -> set[str]:
        """Every table and view in dbt's schemas, as schema.name."""
        rows = self.rows(
            "select c.relnamespace::regnamespace || '.' || c.relname as name from pg_class as c"
            " where c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition"
            " and c.relnamespace::regnamespace::text = any(%s)",
            ["staging", "intermediate", "marts", "seeds"],
        )
        return {row["name"] for row in rows}

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        with self.database.connect() as connection:
            return connection.execute(query, parameters).fetchall()

    def value(self, query: str, *parameters: Any) -> Any:
        """The one value of a query."""
        (row,) = self.rows(query, *parameters)
        (value,) = row.values()
        return value

    def execute(self, *statements: str) -> None:
        """Run statements in one transaction."""
        with self.database.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def account(
        self, account_id: str = "1", timezone: str = "Europe/Berlin", currency: str = "EUR"
    ) -> None:
        """Make an account known, with a campaign, an ad set and the ads 1 to 9 below it."""
        with self.database.connect() as connection:
            connection.execute(
                "insert into control.ad_accounts (account_id, workspace_id, name, currency,"
                " timezone, account_status) values (%s, %s, 'Test', %s, %s, 1)",
                [account_id, WORKSPACE, currency, timezone],
            )
        campaign, adset = own_id(account_id, "21"), own_id(account_id, "31")
        self.entity("campaigns", campaign, account_id, {"objective": "OUTCOME_SALES"})
        self.entity("adsets", adset, account_id, {}, campaign_id=campaign)
        for number in "123456789":
            ad = own_id(account_id, number)
            self.entity("ads", ad, account_id, {}, campaign_id=campaign, adset_id=adset)

    def entity(
        self, table: str, entity_id: str, account_id: str, document: Mapping[str, Any], **ids: str
    ) -> None:
        """Land an entity's document, whatever was there before."""
        columns = {
            "id": entity_id,
            "account_id": account_id,
            "name": document.get("name", f"{table} {entity_id}"),
            "status": document.get("status", "ACTIVE"),
            "effective_status": document.get("effective_status", "ACTIVE"),
            "document": json.dumps(document),
            "document_hash": str(hash(json.dumps(document))),
            "first_seen_at": PULLED,
            "changed_at": PULLED,
            "pulled_at": PULLED,
            **ids,
        }
        if table == "campaigns":
            columns["objective"] = document.get("objective")
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        query = sql.SQL(
            "insert into raw.{} ({}) values ({}) on conflict (id) do update set ({}) = ({})"
        ).format(
            *(sql.Identifier(table), names, sql.SQL(", ").join([sql.Placeholder()] * len(columns))),
            *(
                names,
                sql.SQL(", ").join(
                    sql.SQL("excluded.{}").format(sql.Identifier(c)) for c in columns
                ),
            ),
        )
        with self.database.connect() as connection:
            connection.execute(query, list(columns.values()))

    def pull(
        self,
        day: date,
        *ads: AdDay,
        account_id: str = "1",
        assets: Sequence[str] = INSIGHTS,
        account_spend: str | None = None,
        pulled_at: datetime = PULLED,
    ) -> None:
        """Replace the account-day's slices by these ads, as three pulls at one instant would.

        ``account_spend`` makes the account's total say something else than its ads.
        """
        zone, currency = self._account(account_id)
        with self.database.connect() as connection:
            for asset in assets:
                getattr(self, f"_replace_{asset}")(
                    connection, day, ads, account_id, (zone, currency, "v26.0", pulled_at)
                )
                connection.execute(
                    "insert into control.slices (account_id, partition_date, asset, status,"
                    " pulled_at) values (%s, %s, %s, 'done', %s)"
                    " on conflict (account_id, partition_date, asset) do update"
                    " set status = 'done', pulled_at = excluded.pulled_at",
                    [account_id, day, asset, pulled_at],
                )
            if account_spend is not None:
                connection.execute(
                    "update raw.account_totals set spend = %s"
                    " where account_id = %s and event_date = %s",
                    [Decimal(account_spend), account_id, day],
                )

    def _account(self, account_id: str) -> tuple[str, str]:
        (row,) = self.rows(
            "select timezone, currency from control.ad_accounts where account_id = %s", account_id
        )
        return row["timezone"], row["currency"]

    def _replace_insights_hourly(
        self,
        connection: psycopg.Connection[Any],
        day: date,
        ads: Sequence[AdDay],
        account: str,
        tail: Any,
    ) -> None:
        self._empty(connection, "insights_hourly", day, account)
        for ad in ads:
            for label, (spend, impressions, clicks) in ad.hours.items():
                start = datetime(day.year, day.month, day.day, label, tzinfo=ZoneInfo(tail[0]))
                connection.execute(
                    "insert into raw.insights_hourly values"
                    " (%s, %s, %s, %s, %s, %s, %s, null, %s, %s, %s, %s, %s, null, null, %s, %s)",
                    [
                        day,
                        account,
                        *self._ids(account, ad),
                        label,
                        start.astimezone(UTC),
                        *tail[:2],
                        Decimal(spend),
                        impressions,
                        clicks,
                        *list(tail[2:]),
                    ],
                )

    def _replace_insights_daily(
        self,
        connection: psycopg.Connection[Any],
        day: date,
        ads: Sequence[AdDay],
        account: str,
        tail: Any,
    ) -> None:
        self._empty(connection, "insights_daily", day, account)
        for ad in ads:
            connection.execute(
                "insert into raw.insights_daily values"
                " (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, null, null, null, %s, %s, null, %s, %s)",
                [
                    day,
                    account,
                    *self._ids(account, ad),
                    *tail[:2],
                    ad.total(0),
                    int(ad.total(1)),
                    int(ad.total(2)),
                    _actions(ad.actions),
                    _actions(ad.values),
                    *tail[2:],
                ],
            )

    def _replace_account_totals(
        self,
        connection: psycopg.Connection[Any],
        day: date,
        ads: Sequence[AdDay],
        account: str,
        tail: Any,
    ) -> None:
        self._empty(connection, "account_totals", day, account)
        if not ads:
            return
        summed: list[dict[str, str]] = []
        for name in ("actions", "values"):
            totals: dict[str, Decimal] = {}
            for ad in ads:
                for action_type, value in getattr(ad, name).items():
                    totals[action_type] = totals.get(action_type, Decimal(0)) + Decimal(value)
            summed.append({action_type: str(value) for action_type, value in totals.items()})
        connection.execute(
            "insert into raw.account_totals values"
            " (%s, %s, %s, %s, %s, %s, %s, null, null, null, %s, %s, %s, %s)",
            [
                day,
                account,
                *tail[:2],
                sum(ad.total(0) for ad in ads),
                *(int(sum(ad.total(i) for ad in ads)) for i in (1, 2)),
                *map(_actions, summed),
                *tail[2:],
            ],
        )

    @staticmethod
    def _ids(account: str, ad: AdDay) -> tuple[str, str, str]:
        return own_id(account, "21"), own_id(account, "31"), own_id(account, ad.ad_id)

    def _empty(
        self, connection: psycopg.Connection[Any], table: str, day: date, account: str
    ) -> None:
        if table != "account_totals":
            connection.execute(
                "select control.ensure_month_partitions(%s::regclass, %s, %s)",
                [f"raw.{table}", day, day],
            )
        connection.execute(
            sql.SQL("delete from raw.{} where account_id = %s and event_date = %s").format(
                sql.Identifier(table)
            ),
            [account, day],
        )

    def dbt(self, *arguments: str) -> dbtRunnerResult:
        """Run dbt, whatever comes of it.

        In a thread of its own: dbt looks through every frame above it for its behaviour flags,
        and pytest's are many.
        """
        directories = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
        paths = ["--target-path", str(self._target), "--log-path", str(self._target / "logs")]
        # Nobody reads what dbt says: rendering its events, to be left out, is a tenth of a build.
        silent = ["--log-level", "none", "--log-level-file", "none"]
        command = [*arguments, *directories, *paths, *silent, "--no-write-json"]
        # dbt is not ours to measure: under coverage it would take half as long again.
        thread_trace = threading.gettrace()
        threading.settrace(None)  # type: ignore[arg-type]
        environment = dict(os.environ)
        export_environment(self.database)
        try:
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(self._runner.invoke, command).result()
        finally:
            threading.settrace(thread_trace)  # type: ignore[arg-type]
            os.environ.clear()
            os.environ.update(environment)

    def build(
        self,
        start: date | None = None,
        end: date | None = None,
        *,
        tests: bool = True,
        models: str = TABLES,
    ) -> None:
        """``dbt build`` of the inclusive dates, or of all history; with every data test or none.

        Views and seeds are there since the warehouse was built. ``models`` are the tables that the
        test reads and what they read (``tables_behind``): fewer than all save its time.
        Raises ``AssertionError`` naming what failed.
        """
        arguments = ["build", "--exclude-resource-type", "unit_test"]
        arguments += ["--select", *models.split()]
        if not tests:
            arguments += ["--exclude-resource-type", "test"]
        elif models.startswith(TABLES):
            arguments.append("resource_type:test")
        if start is not None:
            after = (end or start) + timedelta(days=1)
            arguments += ["--event-time-start", str(start), "--event-time-end", str(after)]
        result = self.dbt(*arguments)
        assert result.success, failures(result)

    def contents(self, query: str = "*") -> dict[str, list[tuple[Any, ...]]]:
        """Every mart table's rows; with ``query`` instead of its columns."""
        tables = self.rows("select tablename from pg_tables where schemaname = 'marts' order by 1")
        with self.database.connect() as connection:
            connection.row_factory = psycopg.rows.tuple_row  # type: ignore[assignment]
            return {
                row["tablename"]: sorted(
                    connection.execute(f"select {query} from marts.{row['tablename']}").fetchall(),
                    key=repr,
                )
                for row in tables
            }

    def empty(self) -> None:
        """Remove every row of raw, control's accounts and slices, and the marts."""
        tables = self.rows(
            "select schemaname || '.' || tablename as name from pg_tables"
            " where schemaname in ('raw', 'marts', 'intermediate')"
        )
        self.execute(
            f"truncate {', '.join(row['name'] for row in tables)}",
            "truncate control.slices, control.check_results, control.alerts cascade",
            "delete from control.ad_accounts",
        )


def failures(result: dbtRunnerResult) -> str:
    """What failed in a dbt run."""
    if result.exception is not None:
        return str(result.exception)
    bad = [
        r for r in result.result if r.status not in ("success", "pass", "warn", "no-op", "skipped")
    ]
    return "\n".join(f"{r.node.name}: {r.status} {r.message}" for r in bad)
