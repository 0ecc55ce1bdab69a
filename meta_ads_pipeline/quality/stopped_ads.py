"""Spend that should not be: on a day on which the ad, or what it is in, could not run at all."""

from __future__ import annotations

import pandera.pandas as pa

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.outcome import CheckOutcome, check_query, pulled_days
from meta_ads_pipeline.quality.scope import CheckScope

CANNOT_RUN = ("ARCHIVED", "DELETED", "DISAPPROVED")
"""Effective statuses in which nothing is delivered. Not PAUSED: a pause may have been lifted and
set again between two reads."""


class StoppedAdDays(pa.DataFrameModel):
    """Ad days with spend, whose ad, ad set or campaign was stopped all day."""

    account_id: str
    event_date: object
    ad_id: str
    spend: object
    level: str
    status: str
    could_run: bool = pa.Field(
        eq=True,
        description="an ad that spends is not archived, deleted or disapproved all day",
        metadata={"warning": True},
    )


def check_stopped_ads(database: Database, scope: CheckScope) -> CheckOutcome:
    """Find spend on account-local days that lie wholly within a stopped range of the history.

    A range without an end counts up to the last read of the entities. A warning only: Meta may
    book late what was delivered before. Raises ``DatabaseError`` when the server cannot be reached.
    """
    found = check_query(
        database,
        StoppedAdDays,
        """
        with stopped as (
            select v.level, v.entity_id, v.effective_status, v.valid_from,
                coalesce(v.valid_to, (
                    select max(s.pulled_at) from control.slices as s
                    where s.account_id = v.account_id and s.asset = v.level || 's'
                )) as valid_to
            from (
                select account_id, level, entity_id, valid_from,
                    document ->> 'effective_status' as effective_status,
                    lead(valid_from) over (
                        partition by level, entity_id order by valid_from) as valid_to
                from raw.entity_versions
                where account_id = any(%(accounts)s) and level in ('ad', 'adset', 'campaign')
            ) as v
            where v.effective_status = any(%(stopped)s)
        )
        select d.account_id, d.event_date, d.ad_id, d.spend, s.level,
            s.effective_status as status, s.valid_from as since, false as could_run
        from raw.insights_daily as d
        inner join stopped as s on s.entity_id = case s.level
            when 'ad' then d.ad_id when 'adset' then d.adset_id else d.campaign_id end
        where d.account_id = any(%(accounts)s) and d.event_date between %(start)s and %(end)s
            and d.spend > 0
            and s.valid_from <= d.event_date::timestamp at time zone d.timezone
            and s.valid_to >= (d.event_date + 1)::timestamp at time zone d.timezone
        order by d.spend desc""",
        scope,
        ("account_id", "event_date", "ad_id", "spend", "level", "status", "since"),
        stopped=list(CANNOT_RUN),
    )
    days = pulled_days(database, "insights_daily", scope)
    if found.passed:
        return CheckOutcome(
            True, "no ad spent while it was stopped all day", {}, found.day_results(days)
        )
    return CheckOutcome.of(found, days, "ad days with spend while stopped")
