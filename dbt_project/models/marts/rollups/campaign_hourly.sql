{{ config(
    unique_key=['provider', 'account_id', 'campaign_id', 'event_date', 'event_hour'],
    indexes=[
        {
            'columns': ['provider', 'account_id', 'campaign_id', 'event_date', 'event_hour'],
            'unique': true
        },
        {'columns': ['event_date', 'account_id']}
    ],
    post_hook=['{{ settle_passed_dates() }}', '{{ analyze_after_bulk() }}']
) }}

with summed as (
    select
        workspace_id,
        provider,
        account_id,
        campaign_id,
        event_date,
        event_hour,
        min({{ hour_start('grain', 'event_at', 'timezone') }}) as event_at,
        max(timezone) as timezone,
        max(currency) as currency,
        {{ summed_measures() }},
        bool_and(is_settled) as is_settled,
        max(pulled_at) as pulled_at
    from {{ ref('metric_facts') }}
    where
        {{ in_window('event_date') }}
        and event_hour is not null
        and campaign_id is not null
    group by workspace_id, provider, account_id, campaign_id, event_date, event_hour
)

select
    workspace_id,
    provider,
    account_id,
    campaign_id,
    event_date,
    event_hour,
    event_at,
    timezone,
    currency,
    spend,
    impressions,
    clicks,
    link_clicks,
    purchases,
    revenue,
    leads,
    conversions,
    {{ derived_measures() }},
    is_settled,
    pulled_at
from summed
