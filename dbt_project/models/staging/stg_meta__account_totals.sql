select
    account_id,
    event_date,
    timezone,
    currency,
    spend,
    impressions,
    clicks,
    link_clicks,
    reach,
    frequency,
    actions,
    action_values,
    api_version,
    pulled_at,
    conversions,
    conversion_values
from {{ source('raw', 'account_totals') }}
