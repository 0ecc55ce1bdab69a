"""Checks of the landed entities: read often enough, complete, without fields nobody asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

import pandera.pandas as pa

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.meta_api.fields import ACCOUNT_FIELDS, ENTITY_FIELDS
from meta_ads_pipeline.quality.outcome import (
    CheckOutcome,
    accounts_of,
    check_query,
    judged,
    query_rows,
)
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.quality.violations import table_of

READ_WITHIN = timedelta(hours=24)
"""``updated_time`` does not move when a budget is edited: only reading everything finds out."""

_FIELDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "ad_accounts": frozenset(ACCOUNT_FIELDS),
        "campaigns": frozenset(ENTITY_FIELDS["campaign"]),
        "adsets": frozenset(ENTITY_FIELDS["adset"]),
        "ads": frozenset(ENTITY_FIELDS["ad"]),
        "creatives": frozenset(ENTITY_FIELDS["creative"]),
    }
)
_LEVELS = {"campaigns": "campaign", "adsets": "adset", "ads": "ad"}


class DocumentFields(pa.DataFrameModel):
    """Top-level fields of the landed documents that were not asked for, by account."""

    account_id: str
    field: str
    documents: int
    was_asked_for: bool = pa.Field(
        eq=True, description="the field was asked for", metadata={"warning": True}
    )


class EntityReads(pa.DataFrameModel):
    """Ad accounts with the last complete read of one kind of entity."""

    account_id: str
    documents: int
    is_recent: bool = pa.Field(eq=True, description="read within the last 24 hours")
    documents_with_another_budget: int = pa.Field(
        eq=0, description="every budget is the one that the history says last"
    )


class ReferredEntities(pa.DataFrameModel):
    """Ads that have rows, by account-day, and whether they and their parents have landed."""

    account_id: str
    event_date: object
    ad_id: str
    has_ad: bool = pa.Field(eq=True, description="the ad is in raw.ads")
    has_adset: bool = pa.Field(eq=True, description="its ad set is in raw.adsets")
    has_campaign: bool = pa.Field(eq=True, description="its campaign is in raw.campaigns")


def check_fields(database: Database, asset: str, scope: CheckScope) -> CheckOutcome:
    """Find fields in the documents of ``asset`` that no request of ours names.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    rows = query_rows(
        database,
        "select t.account_id, field, count(*) as documents, false as was_asked_for"
        f" from raw.{asset} as t cross join lateral jsonb_object_keys(t.document) as field"
        " where t.account_id = any(%(accounts)s) and field <> all(%(asked)s)"
        " group by 1, 2 order by 2, 1",
        scope,
        asked=sorted(_FIELDS[asset]),
    )
    found = judged(DocumentFields, rows, ("account_id", "field", "documents"))
    names = sorted({row["field"] for row in rows})
    return CheckOutcome(
        found.passed,
        "every field was asked for"
        if found.passed
        else f"{len(names)} fields that were not asked for: {', '.join(names[:5])}",
        {} if found.passed else {"unknown_fields": table_of(found.cases)},
        found.day_results(accounts_of(scope)),
        is_warning=True,
    )


def check_read_daily(database: Database, asset: str, scope: CheckScope) -> CheckOutcome:
    """Whether each account's entities were read within a day, and budget edits are in the history.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    found = check_query(
        database,
        EntityReads,
        f"""
        with latest as (
            select distinct on (v.entity_id) v.entity_id,
                v.document ->> 'daily_budget' as daily_budget,
                v.document ->> 'lifetime_budget' as lifetime_budget
            from raw.entity_versions as v
            where v.level = %(level)s and v.account_id = any(%(accounts)s)
            order by v.entity_id, v.valid_from desc
        ),
        documents as (
            select t.account_id, count(*) as documents,
                count(*) filter (where (latest.daily_budget, latest.lifetime_budget) is distinct
                    from (t.document ->> 'daily_budget', t.document ->> 'lifetime_budget'))
                    as documents_with_another_budget
            from raw.{asset} as t inner join latest on latest.entity_id = t.id
            where t.account_id = any(%(accounts)s) group by 1
        ),
        reads as (
            select s.account_id, max(s.pulled_at) as last_read_at from control.slices as s
            where s.asset = %(asset)s and s.account_id = any(%(accounts)s) group by 1
        )
        select a.account_id, reads.last_read_at,
            coalesce(documents.documents, 0) as documents,
            coalesce(reads.last_read_at > %(started_at)s - %(within)s, false) as is_recent,
            coalesce(documents.documents_with_another_budget, 0) as documents_with_another_budget
        from unnest(%(accounts)s::text[]) as a (account_id)
        left join reads using (account_id) left join documents using (account_id)
        order by 1""",
        scope,
        ("account_id", "last_read_at", "documents"),
        asset=asset,
        level=_LEVELS[asset],
        within=READ_WITHIN,
    )
    return CheckOutcome.of(found, accounts_of(scope), "ad accounts")


def check_new_entities(database: Database, scope: CheckScope) -> CheckOutcome:
    """Whether everything with rows on the scope's dates, however new, has landed as an entity.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    days = (
        " select i.account_id, i.event_date, i.ad_id, i.adset_id, i.campaign_id"
        " from raw.{table} as i"
        " where i.account_id = any(%(accounts)s) and i.event_date between %(start)s and %(end)s"
    )
    found = check_query(
        database,
        ReferredEntities,
        f"with days as ({days.format(table='insights_daily')}"
        f" union {days.format(table='insights_hourly')})"
        " select d.account_id, d.event_date, d.ad_id, ads.id is not null as has_ad,"
        "   adsets.id is not null as has_adset, campaigns.id is not null as has_campaign"
        " from days as d left join raw.ads on ads.id = d.ad_id"
        "   left join raw.adsets on adsets.id = d.adset_id"
        "   left join raw.campaigns on campaigns.id = d.campaign_id",
        scope,
        ("account_id", "event_date", "ad_id"),
    )
    return CheckOutcome.of(found, scope.begun_slices(), "ad days")
