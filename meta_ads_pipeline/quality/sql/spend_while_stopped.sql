-- Spend on account-local days that lie wholly within a stopped range of the history. Not PAUSED: a
-- pause may have been lifted and set again between two reads. A range without an end counts up to
-- the last read of the entities. A warning only: Meta may book late what was delivered before.
with versions as (
    select
        account_id,
        level,
        entity_id,
        valid_from,
        document ->> 'effective_status' as effective_status,
        lead(valid_from) over (
            partition by level, entity_id
            order by valid_from
        ) as valid_to
    from raw.entity_versions
    where account_id = any(%(accounts)s) and level in ('ad', 'adset', 'campaign')
),

last_reads as (
    select
        account_id,
        asset,
        max(pulled_at) as pulled_at
    from control.slices
    where account_id = any(%(accounts)s) and asset in ('ads', 'adsets', 'campaigns')
    group by account_id, asset
),

stopped as (
    select
        versions.level,
        versions.entity_id,
        versions.effective_status,
        versions.valid_from,
        coalesce(versions.valid_to, last_reads.pulled_at) as valid_to
    from versions
    left join last_reads
        on
            versions.account_id = last_reads.account_id
            and versions.level || 's' = last_reads.asset
    where versions.effective_status in ('ARCHIVED', 'DELETED', 'DISAPPROVED')
)

select
    days.account_id,
    days.event_date,
    'an ad that spends is not archived, deleted or disapproved all day' as rule,
    true as is_warning,
    count(distinct days.ad_id) as violations,
    min(
        'ad ' || days.ad_id || ', ' || stopped.level || ' ' || stopped.effective_status
        || ' since ' || stopped.valid_from || ', spend ' || days.spend
    ) as observed
from raw.insights_daily as days
cross join
    lateral (
        values ('ad', days.ad_id), ('adset', days.adset_id), ('campaign', days.campaign_id)
    ) as objects (level, entity_id)
inner join stopped on objects.level = stopped.level and objects.entity_id = stopped.entity_id
where
    days.account_id = any(%(accounts)s)
    and days.event_date between %(start)s and %(end)s
    and days.spend > 0
    and stopped.valid_from <= days.event_date::timestamp at time zone days.timezone
    and stopped.valid_to >= (days.event_date + 1)::timestamp at time zone days.timezone
group by days.account_id, days.event_date
