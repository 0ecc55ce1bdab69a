-- What an account's facts of these dates, and its entities, refer to: ids of one kind, with the
-- parents that facts name for them.
with facts as (
    select
        campaign_id,
        adset_id,
        ad_id
    from raw.insights_daily
    where account_id = %(account)s and event_date = any(%(dates)s)
    union
    select
        campaign_id,
        adset_id,
        ad_id
    from raw.insights_hourly
    where account_id = %(account)s and event_date = any(%(dates)s)
),

referred as (
    select
        'ad' as kind,
        ad_id as id,
        campaign_id,
        adset_id
    from facts
    union all
    select
        'adset',
        adset_id,
        campaign_id,
        null
    from facts
    union all
    select
        'adset',
        adset_id,
        campaign_id,
        null
    from raw.ads
    where account_id = %(account)s
    union all
    select
        'campaign',
        campaign_id,
        null,
        null
    from facts
    union all
    select
        'campaign',
        campaign_id,
        null,
        null
    from raw.adsets
    where account_id = %(account)s
    union all
    select
        'campaign',
        campaign_id,
        null,
        null
    from raw.ads
    where account_id = %(account)s
    union all
    select
        'creative',
        creative_id,
        null,
        null
    from raw.ads
    where account_id = %(account)s
    union all
    select
        %(kind)s,
        id,
        null,
        null
    from {{ table }}
    where account_id = %(account)s
)

select
    r.id,
    max(r.campaign_id) as campaign_id,
    max(r.adset_id) as adset_id,
    coalesce(bool_or(known.is_deleted), false) as is_deleted
from referred as r
left join {{ table }} as known on r.id = known.id
where
    r.kind = %(kind)s
    and r.id is not null
    and case
        when %(only_unknown)s then known.id is null
        else
            (known.is_deleted is not true or %(with_deleted)s)
            and not r.id = any(%(listed)s)
    end
group by 1
order by 1
