select
    natural_key,
    workspace_id,
    provider,
    account_id,
    level,
    external_entity_id,
    entity_id,
    campaign_id,
    adset_id,
    ad_id,
    grain,
    event_at,
    event_date,
    case
        when grain <> 'day' then extract(hour from event_at at time zone timezone)::smallint
    end as event_hour,
    timezone,
    currency,
    goal,
    spend,
    impressions,
    clicks,
    link_clicks,
    purchases,
    revenue,
    leads,
    conversions,
    (received_at at time zone timezone)::date - event_date > {{ var('settled_after_days') }}
        as is_settled,
    received_at
from {{ source('posted', 'ingested_facts') }}
