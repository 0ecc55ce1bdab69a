"""Rows landed by hand: a small world whose checks all pass, to be broken rule by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg.types.json import Jsonb

from meta_ads_pipeline.control.accounts import DEFAULT_WORKSPACE_ID, Account, save_accounts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.raw.hour_labels import hours_of_day

MARTS = Path(__file__).parents[2] / "dbt_project" / "models" / "marts"
ROLLUPS = (
    *("account_hourly", "campaign_hourly", "account_daily", "campaign_daily"),
    *("adset_daily", "ad_daily"),
)
PULLED = (
    *("insights_hourly", "insights_daily", "account_totals"),
    *("campaigns", "adsets", "ads", "creatives"),
)
NEW_YORK = Account("1", "America/New_York", "USD", "Shoes")
TOKYO = Account("2", "Asia/Tokyo", "JPY", "Tea")
FIRST_DAY = date(2026, 3, 2)
DAYS = [FIRST_DAY + timedelta(days=n) for n in range(3)]
PULLED_AT = datetime(2026, 3, 20, tzinfo=UTC)
MEASURES = ("spend", "impressions", "clicks", "link_clicks", "purchases", "revenue", "leads")


class Landing:
    """Puts rows into a migrated database, over one connection that commits at once."""

    def __init__(self, database: Database, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self.database = database
        self._connection = connection

    def execute(self, query: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> None:
        self._connection.execute(query, parameters)

    def fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        return self._connection.execute(query, parameters).fetchall()

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        columns = list(rows[0])
        values = ", ".join(f"%({name})s" for name in columns)
        self._connection.cursor().executemany(
            f"insert into {table} ({', '.join(columns)}) values ({values})", rows
        )

    def account(self, account: Account) -> None:
        save_accounts(self._connection, [account])
        self.insert(
            "raw.ad_accounts",
            [
                {
                    **{"account_id": account.account_id, "name": account.name},
                    **{"currency": account.currency, "timezone": account.timezone},
                    **_document(),
                }
            ],
        )

    def hours(self, account: Account, day: date, ad_id: str, hours: Sequence[int]) -> None:
        """Rows as the loader lands them, DST included."""
        self.execute(
            "select control.ensure_month_partitions('raw.insights_hourly', %s, %s)", [day, day]
        )
        clock = hours_of_day(day, account.timezone)
        self.insert(
            "raw.insights_hourly",
            [
                {
                    **_insights(account, day, ad_id),
                    "event_hour": hour,
                    "event_at": clock[hour].event_at,
                    "hour_flag": clock[hour].flag,
                }
                for hour in hours
            ],
        )

    def day(self, account: Account, day: date, ad_id: str) -> None:
        self.execute(
            "select control.ensure_month_partitions('raw.insights_daily', %s, %s)", [day, day]
        )
        extra = {"reach": 5, "frequency": "2.0", "action_values": Jsonb([])}
        self.insert("raw.insights_daily", [_insights(account, day, ad_id) | extra])
        total = _insights(account, day, ad_id) | extra
        for name in ("campaign_id", "adset_id", "ad_id"):
            del total[name]
        self.insert("raw.account_totals", [total])

    def entities(self, account: Account, ad_id: str) -> None:
        parents = _parents(ad_id)
        common = {
            **{"account_id": account.account_id, "name": "n", "status": "ACTIVE"},
            **{"effective_status": "ACTIVE", **_document()},
        }
        campaign, adset = parents["campaign_id"], parents["adset_id"]
        self.insert("raw.campaigns", [{"id": campaign, **common}])
        self.insert("raw.adsets", [{"id": adset, "campaign_id": campaign, **common}])
        self.insert("raw.ads", [{"id": ad_id, **parents, "creative_id": None, **common}])
        self.insert("raw.creatives", [{"id": f"9{ad_id}", **common}])

    def slices(
        self, account: Account, days: Sequence[date], assets: Sequence[str] = PULLED, **values: Any
    ) -> None:
        for asset in assets:
            row = {"status": "done", "attempts": 1, "pulled_at": PULLED_AT, **values}
            self.insert(
                "control.slices",
                [
                    {"account_id": account.account_id, "partition_date": d, "asset": asset, **row}
                    for d in days
                ],
            )

    def fact(self, account: Account, day: date, ad_id: str) -> None:
        """The ad's landed hours as facts, and as every rollup has them."""
        self.execute(
            "select control.ensure_month_partitions('marts.metric_facts', %s, %s)", [day, day]
        )
        where = "where account_id = %s and event_date = %s and ad_id = %s"
        self.execute(
            "insert into marts.metric_facts (natural_key, workspace_id, provider, account_id,"
            "   level, external_entity_id, entity_id, campaign_id, adset_id, ad_id, grain,"
            "   event_at, event_date, event_hour, timezone, currency, spend, impressions, clicks,"
            "   link_clicks, is_settled, source, pulled_at)"
            " select ad_id || '-' || event_at, %s::uuid, 'meta', account_id, 'ad', ad_id,"
            "   %s::uuid, campaign_id, adset_id, ad_id, 'hour', event_at, event_date, event_hour,"
            "   timezone, currency, spend, impressions, clicks, link_clicks, false, 'insights',"
            f"   pulled_at from raw.insights_hourly {where}",
            [DEFAULT_WORKSPACE_ID, DEFAULT_WORKSPACE_ID, account.account_id, day, ad_id],
        )
        for rollup in ROLLUPS:
            self.execute(
                f"insert into marts.{rollup} (provider, account_id, event_date, spend,"
                "   impressions, clicks, link_clicks)"
                " select 'meta', account_id, event_date, sum(spend), sum(impressions),"
                f"   sum(clicks), sum(link_clicks) from marts.metric_facts {where} group by 2, 3",
                [account.account_id, day, ad_id],
            )

    def mart_tables(self) -> None:
        """The marts that checks read, with the columns of dbt's contracts."""
        for path in sorted([*MARTS.glob("trust/_*.yml"), *MARTS.glob("rollups/_*.yml")]):
            for model in yaml.safe_load(path.read_text()).get("models", []):
                if model["name"] in ("reconciliation", "anomalies", *ROLLUPS):
                    columns = ", ".join(f"{c['name']} {c['data_type']}" for c in model["columns"])
                    self.execute(f"create table marts.{model['name']} ({columns})")

    def reconciled(self, account: Account, day: date) -> None:
        self.insert(
            "marts.reconciliation",
            [
                {
                    **{"workspace_id": DEFAULT_WORKSPACE_ID, "account_id": account.account_id},
                    **{"event_date": day, "measure": measure, "delta": "0"},
                    # The landed ads have no conversions.
                    "hourly_total": None if measure in MEASURES[4:] else "10.00",
                    "ad_daily_total": "0" if measure in MEASURES[4:] else "10.00",
                    "account_total": "0" if measure in MEASURES[4:] else "10.00",
                    "status": "reconciled",
                    **{"tolerance": "0", "is_settled": True},
                }
                for measure in MEASURES
            ],
        )

    def everything(self, days: Sequence[date] = DAYS) -> None:
        """Two accounts with an ad each, pulled, reconciled, in the facts."""
        self.mart_tables()
        for account, ad_id in ((NEW_YORK, "11"), (TOKYO, "21")):
            self.account(account)
            self.entities(account, ad_id)
            self.slices(account, days)
            for day in days:
                self.hours(account, day, ad_id, range(24))
                self.day(account, day, ad_id)
                self.fact(account, day, ad_id)
                self.reconciled(account, day)


def _document() -> dict[str, Any]:
    at = dict.fromkeys(("first_seen_at", "changed_at", "pulled_at"), PULLED_AT)
    return {"document": Jsonb({}), "document_hash": "0", **at}


def _parents(ad_id: str) -> dict[str, str]:
    return {"campaign_id": f"{ad_id}7", "adset_id": f"{ad_id}8"}


def _insights(account: Account, day: date, ad_id: str) -> dict[str, Any]:
    return {
        **{"event_date": day, "account_id": account.account_id, "ad_id": ad_id, **_parents(ad_id)},
        **{"timezone": account.timezone, "currency": account.currency, "spend": "125"},
        **{"impressions": 10, "clicks": 2, "link_clicks": 3, "actions": Jsonb([])},
        **{"api_version": "v26.0", "pulled_at": PULLED_AT},
    }
