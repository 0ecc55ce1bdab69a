select
    rows.account_id,
    rows.level,
    rows.entity_id as external_entity_id,
    rows.period,
    rows.period_start,
    rows.period_end,
    rows.event_date,
    rows.timezone,
    rows.currency,
    rows.reach,
    rows.frequency,
    rows.unique_clicks,
    rows.unique_link_clicks,
    rows.impressions,
    rows.clicks,
    rows.spend,
    rows.omitted,
    rows.api_version,
    rows.pulled_at,
    -- Later than pulled_at where a later pull found the same.
    coalesce(slices.pulled_at, rows.pulled_at) as last_pulled_at
from {{ source('raw', 'insights_reach') }} as rows
left join {{ source('control', 'slices') }} as slices
    on
        rows.account_id = slices.account_id
        and rows.event_date = slices.partition_date
        and slices.asset = 'insights_reach'
