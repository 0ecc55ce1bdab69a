"""Marts of two workspaces, small, made by SQL: what dbt would make of these facts."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from meta_ads_pipeline.control.database import Connection, Database

DEFAULT = "00000000-0000-0000-0000-000000000001"
OTHER = "00000000-0000-0000-0000-000000000002"

ACCOUNTS = (
    ("1", DEFAULT, "Europe/Berlin", "EUR"),
    ("2", DEFAULT, "America/New_York", "USD"),
    ("3", DEFAULT, "Asia/Kolkata", "INR"),
    ("9", OTHER, "Europe/Berlin", "EUR"),
)
FIRST, LAST = date(2026, 10, 23), date(2026, 11, 3)
"""Both ends of summer time, in Europe and in America."""
LAST_MINUTES = date(2026, 10, 27)
"""Until then there are facts by the minute."""

MEASURES = (
    "spend",
    "impressions",
    "clicks",
    "link_clicks",
    "purchases",
    "revenue",
    "leads",
    "conversions",
)

_DIMENSIONS = """
create table marts.dim_ad_accounts as
    select workspace_id, account_id, name, currency, timezone from control.ad_accounts;
create table marts.dim_campaigns as
    select distinct workspace_id, account_id, campaign_id, 'campaign ' || campaign_id as name,
        case when campaign_id like '%0' then 'OUTCOME_SALES' else 'OUTCOME_LEADS' end as objective,
        'ACTIVE' as effective_status, 100::numeric as daily_budget,
        case when campaign_id = '121' then 800::numeric end as lifetime_budget,
        timestamptz '2026-10-23Z' as created_at, null::timestamptz as starts_at,
        timestamptz '2026-11-15Z' as ends_at
    from marts.metric_facts where campaign_id is not null;
create table marts.dim_adsets as
    select distinct workspace_id, account_id, adset_id, 'ad set ' || adset_id as name,
        'ACTIVE' as effective_status, null::numeric as daily_budget,
        null::numeric as lifetime_budget, null::timestamptz as created_at,
        null::timestamptz as starts_at, null::timestamptz as ends_at
    from marts.metric_facts where adset_id is not null;
create table marts.dim_ads as
    select distinct workspace_id, account_id, ad_id, 'ad ' || ad_id as name,
        case when ad_id like '%0' then 'ACTIVE' else 'PAUSED' end as effective_status,
        'c' || ad_id as creative_id
    from marts.metric_facts where ad_id is not null;
create table marts.dim_creatives as
    select distinct workspace_id, account_id, creative_id, 'creative' as name,
        'https://shop.example/' || right(creative_id, 1) as destination_url,
        'shop.example' as destination_domain, 'A title' as title, 'what it says' as body,
        'image' as media_type, 'SHARE' as object_type, 'SHOP_NOW' as call_to_action_type
    from marts.dim_ads;
create table marts.reconciliation as
    select distinct f.workspace_id, f.account_id, f.event_date, measure,
        5::numeric as hourly_total, 5::numeric as ad_daily_total, 5::numeric as account_total,
        0::numeric as delta, 0::numeric as tolerance,
        case when f.event_date = '2026-10-30' then 'mismatch' else 'reconciled' end as status,
        case when f.event_date = '2026-10-30' then 'off' end as reason,
        true as is_complete, f.event_date < '2026-10-30' as is_settled,
        timestamptz '2026-11-29 03:00Z' as pulled_at
    from marts.metric_facts as f cross join unnest(array['spend', 'revenue']) as measure
    where f.provider = 'meta';
create view marts.restatements as
    select workspace_id, account_id, event_date, measure, 'account_totals' as asset,
        'account' as level, account_id as external_entity_id, 4::numeric as old_value,
        5::numeric as new_value, 1::numeric as change, null::timestamptz as previous_pulled_at,
        pulled_at as detected_at, 3 as lag_days
    from marts.reconciliation;
create view marts.check_results as
    select workspace_id, account_id, event_date, 'insights_hourly' as asset, 'hours' as check_name,
        'warn' as severity, 'two hours' as message, pulled_at as last_failed_at,
        'failed' as status
    from marts.reconciliation where event_date = '2026-10-30' and measure = 'spend';
create table marts.anomalies as
    select workspace_id, account_id, 'key ' || account_id as anomaly_key, 'account' as level,
        account_id as external_entity_id, 'day' as grain, date '2026-10-26' as event_date,
        null::smallint as event_hour, 'spend' as measure, 'level' as kind, 'up' as direction,
        9::numeric as value, 3::numeric as expected, 2::numeric as expected_low,
        4::numeric as expected_high, currency as unit, 6::numeric as score,
        'warning' as severity, 'open' as status, 'Spend is three times the usual.' as sentence,
        timestamptz '2026-10-27Z' as first_seen_at, null::timestamptz as resolved_at
    from control.ad_accounts;
create view marts.freshness as
    select workspace_id, account_id, name, timezone, is_active, date '2026-10-23' as first_date,
        date '2026-11-03' as last_date, timestamptz '2026-11-03 22:00Z' as last_hour_at,
        timestamptz '2026-11-29 03:00Z' as last_pulled_at, 60 as data_lag_minutes,
        false as is_late, 0::bigint as missing_days, 1::bigint as held_days,
        '2026-10-30' as held_dates, 0::bigint as incomplete_days, 0::bigint as unsettled_days
    from control.ad_accounts;
create table marts.entities as
    select gen_random_uuid() as entity_id, workspace_id, 'campaign' as level,
        campaign_id as external_entity_id, name, account_id as parent_external_id, account_id,
        'meta' as provider, 'ACTIVE' as status, 'ACTIVE' as effective_status, 'sales' as goal,
        false as is_deleted, timestamptz '2026-10-27Z' as changed_at, null::uuid as parent_id
    from marts.dim_campaigns;
create table marts.entity_history as
    select 'campaign' as level, external_entity_id, timestamptz '2026-10-27Z' as valid_from,
        null::timestamptz as valid_to, account_id, name, status, effective_status,
        null::text as objective, null::text as optimization_goal, null::numeric as daily_budget,
        null::numeric as lifetime_budget, null::numeric as bid_amount, null::text as creative_id,
        array['name'] as changed_fields
    from marts.entities;
"""

_ROLLUP = """
create table marts.{mart} as
select workspace_id, provider, account_id, {keys} event_date, {hour}
    max(timezone) as timezone, currency, max(goal) as goal, {sums}
from marts.metric_facts where {condition}
group by workspace_id, provider, account_id, {keys} event_date, {group_hour} currency
"""


def connect_accounts(connection: Connection) -> None:
    """A connection ``main`` in each workspace, which reads all of its ad accounts."""
    connection.execute(
        "insert into control.connections (workspace_id, name)"
        " select workspace_id, 'main' from control.workspaces"
    )
    connection.execute(
        "update control.ad_accounts as a set connection_id = c.connection_id"
        " from control.connections as c where c.workspace_id = a.workspace_id"
    )


def fill(database: Database) -> list[dict[str, Any]]:
    """Accounts, facts and what is built from them; returns the facts."""
    rows = list(_facts(random.Random(13)))
    with database.connect() as connection:
        connection.execute(
            "insert into control.workspaces (workspace_id, name) values (%s, 'other')", [OTHER]
        )
        connection.cursor().executemany(
            "insert into control.ad_accounts (account_id, workspace_id, timezone, currency, name)"
            " values (%s, %s, %s, %s, 'an account')",
            ACCOUNTS,
        )
        connection.execute(
            "select control.ensure_month_partitions('marts.metric_facts', %s, %s)", [FIRST, LAST]
        )
        columns = list(rows[0])
        connection.cursor().executemany(
            f"insert into marts.metric_facts ({', '.join(columns)}) values"
            f" ({', '.join(f'%({name})s' for name in columns)})",
            rows,
        )
        connection.execute(_DIMENSIONS.encode())
        _make_rollups(connection)
    return rows


def _make_rollups(connection: Connection) -> None:
    sums = ", ".join(f"sum({name}) as {name}" for name in MEASURES)
    parents = {
        "account": "",
        "campaign": "campaign_id,",
        "adset": "campaign_id, adset_id,",
        "ad": "campaign_id, adset_id, ad_id,",
    }
    for entity, keys in parents.items():
        known = f"{entity}_id is not null"
        connection.execute(
            _ROLLUP.format(
                mart=f"{entity}_daily",
                keys=keys,
                hour="",
                group_hour="",
                sums=sums,
                condition=known,
            ).encode()
        )
        if entity in ("account", "campaign"):
            hour = "event_hour, date_trunc('hour', min(event_at), max(timezone)) as event_at,"
            connection.execute(
                _ROLLUP.format(
                    mart=f"{entity}_hourly",
                    keys=keys,
                    hour=hour,
                    group_hour="event_hour,",
                    sums=sums,
                    condition=f"{known} and event_hour is not null",
                ).encode()
            )


def _facts(source: random.Random):
    for account, workspace, timezone, currency in ACCOUNTS:
        zone, day = ZoneInfo(timezone), FIRST
        while day <= LAST:
            for ad in range(3):
                campaign, adset = f"{account}2{ad % 2}", f"{account}3{ad}"
                entity = {
                    "workspace_id": workspace,
                    "account_id": account,
                    "provider": "meta",
                    "level": "ad",
                    "external_entity_id": f"{account}4{ad}",
                    "campaign_id": campaign,
                    "adset_id": adset,
                    "ad_id": f"{account}4{ad}",
                    "timezone": timezone,
                    "currency": currency,
                    "event_date": day,
                    "goal": ("sales", "leads")[ad % 2],
                    "source": "insights",
                }
                for hour in sorted(source.sample(range(24), 4)):
                    yield _row(entity, "hour", _hour(day, hour, zone), source)
                yield _row(entity, "day", _midnight(day, zone), source)
            # Another provider's: campaigns only, by the day and by the minute.
            other: dict[str, Any] = {
                "workspace_id": workspace,
                "account_id": account,
                "provider": "google",
                "level": "account",
                "external_entity_id": f"g{account}",
                "campaign_id": None,
                "adset_id": None,
                "ad_id": None,
                "timezone": timezone,
                "currency": currency,
                "event_date": day,
                "goal": None,
                "source": "ingest",
            }
            yield {**_row(other, "day", _midnight(day, zone), source), "spend": Decimal("7.5")}
            if day <= LAST_MINUTES:
                minute = _hour(day, 12, zone) + timedelta(minutes=source.randrange(60))
                yield _row(other, "minute", minute, source)
            day += timedelta(days=1)


def _hour(day: date, hour: int, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=zone).astimezone(UTC)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return _hour(day, 0, zone)


def _row(entity: dict[str, Any], grain: str, at: datetime, source: random.Random) -> dict:
    by_hour, by_day = grain != "day", grain == "day"
    key = f"{entity['external_entity_id']}-{at:%Y-%m-%dT%H:%M}-{grain}"

    def money(known: bool) -> Decimal | None:
        return Decimal(source.randrange(0, 10_000)) / 100 if known else None

    def count(known: bool, most: int) -> int | None:
        return source.choice([None, 0, source.randrange(most)]) if known else None

    return {
        **entity,
        "natural_key": key,
        "grain": grain,
        "event_at": at,
        "entity_id": "00000000-0000-0000-0000-000000000000",
        "event_hour": at.astimezone(ZoneInfo(entity["timezone"])).hour if by_hour else None,
        "spend": money(by_hour),
        "impressions": count(by_hour, 9000),
        "clicks": count(by_hour, 90),
        "link_clicks": count(by_hour, 40),
        "purchases": count(by_day, 9),
        "revenue": money(by_day),
        "leads": count(by_day, 9),
        "conversions": count(by_day, 9),
        "is_settled": entity["event_date"] < date(2026, 10, 30),
        "pulled_at": datetime(2026, 11, 29, tzinfo=UTC),
    }
