"""The checks of the landed insights: what decides, before dbt, which account-days may go on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import pandera.pandas as pa

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.outcome import CheckOutcome, check_query, pulled_days
from meta_ads_pipeline.quality.raw_models import IMPOSSIBLE, LANDED_TABLES
from meta_ads_pipeline.quality.schema_checks import check_landed_table
from meta_ads_pipeline.quality.scope import CheckScope

ROW_CHECKS = ("schema", "duplicates", IMPOSSIBLE)
"""Checks that one look at the rows answers together."""


class SliceCounts(pa.DataFrameModel):
    """Slices of one asset, with the rows that their last load wrote and those that are there."""

    account_id: str
    event_date: object
    rows_written: int
    rows_there: int
    is_as_written: bool = pa.Field(
        eq=True, description="the slice holds as many rows as its load wrote"
    )


class RowUnits(pa.DataFrameModel):
    """Account-days of one asset by the timezone and currency that their rows carry."""

    account_id: str
    event_date: object
    timezone: str
    currency: str
    is_its_timezone: bool = pa.Field(
        eq=True, description="timezone is or was the account's own, by Meta's document"
    )
    is_its_currency: bool = pa.Field(
        eq=True, description="currency is or was the account's own, by Meta's document"
    )
    is_todays: bool = pa.Field(
        eq=True,
        description="dates since the account changed are in its new timezone and currency",
        metadata={"warning": True},
    )


def landed_outcomes(
    database: Database, asset: str, scope: CheckScope
) -> Mapping[str, CheckOutcome]:
    """Every check of a landed insights table, by name; evaluated once in a run.

    The gate before dbt and the checks' own step ask both, whichever comes first. Raises
    ``DatabaseError`` when the server cannot be reached.
    """
    return (_once if scope.run_id else _evaluated)(database, asset, scope)


def _evaluated(database: Database, asset: str, scope: CheckScope) -> Mapping[str, CheckOutcome]:
    days = pulled_days(database, asset, scope)
    rows = check_landed_table(database, LANDED_TABLES[asset], scope)
    outcomes = {name: CheckOutcome.of(rows.of(name), days) for name in ROW_CHECKS}
    outcomes["row_counts"] = CheckOutcome.of(
        check_query(
            database,
            SliceCounts,
            _SLICE_COUNTS.format(asset=asset),
            scope,
            ("account_id", "event_date", "rows_written", "rows_there"),
            asset=asset,
        ),
        days,
        "slices",
    )
    outcomes["currency_and_timezone"] = CheckOutcome.of(
        check_query(
            database,
            RowUnits,
            _ROW_UNITS.format(asset=asset),
            scope,
            ("account_id", "event_date", "timezone", "currency"),
        ),
        days,
        "account-days",
    )
    return outcomes


_once = lru_cache(maxsize=8)(_evaluated)

_IN_SCOPE = "account_id = any(%(accounts)s) and event_date between %(start)s and %(end)s"

_SLICE_COUNTS = f"""
    with held as (
        select account_id, event_date, count(*) as rows from raw.{{asset}}
        where {_IN_SCOPE} group by 1, 2
    ),
    written as (
        select s.account_id, s.partition_date as event_date,
            s.rows_inserted + s.rows_updated + s.rows_unchanged as rows,
            -- A replayed dead letter adds its row to the slice after the load.
            (select count(*) from control.dead_letters as l
            where l.account_id = s.account_id and l.asset = s.asset and l.status = 'replayed'
                and l.resolved_at >= s.finished_at) as replayed
        from control.slices as s
        where s.asset = %(asset)s and s.status in ('done', 'mismatched')
            and s.rows_inserted is not null and s.account_id = any(%(accounts)s)
            and s.partition_date between %(start)s and %(end)s
    )
    select account_id, event_date, written.rows as rows_written,
        coalesce(held.rows, 0) as rows_there,
        coalesce(held.rows, 0) between written.rows and written.rows + written.replayed
            as is_as_written
    from written left join held using (account_id, event_date)
    order by 1, 2"""

_ROW_UNITS = f"""
    with units as (
        select account_id, event_date, timezone, currency from raw.{{asset}}
        where {_IN_SCOPE} group by 1, 2, 3, 4
    ),
    versions as (
        select v.account_id, v.document ->> 'timezone_name' as timezone,
            v.document ->> 'currency' as currency,
            lead(v.valid_from) over (partition by v.account_id order by v.valid_from) as valid_to
        from raw.entity_versions as v
        where v.level = 'account' and v.account_id = any(%(accounts)s)
    ),
    known as (
        select account_id, timezone, currency from control.ad_accounts
        union select account_id, timezone, currency from versions
    ),
    changes as (
        select a.account_id, max(v.valid_to at time zone a.timezone)::date as changed_on
        from control.ad_accounts as a
        inner join versions as v using (account_id)
        where v.timezone <> a.timezone or v.currency <> a.currency
        group by 1
    )
    select u.account_id, u.event_date, u.timezone, u.currency,
        exists (select from known as k where k.account_id = u.account_id
            and k.timezone = u.timezone) as is_its_timezone,
        exists (select from known as k where k.account_id = u.account_id
            and k.currency = u.currency) as is_its_currency,
        coalesce((u.timezone = a.timezone and u.currency = a.currency)
            or u.event_date <= c.changed_on or c.changed_on is null, true) as is_todays
    from units as u
    left join control.ad_accounts as a using (account_id)
    left join changes as c using (account_id)
    order by 1, 2"""
