{{ config(materialized='view') }}

{%- set columns = [
    'workspace_id', 'provider', 'account_id', 'event_at', 'event_date', 'event_hour',
    'timezone', 'currency', 'spend', 'impressions', 'clicks', 'link_clicks', 'purchases', 'revenue',
    'leads', 'conversions', 'ctr', 'cpc', 'cpm', 'cpa', 'roas', 'is_settled', 'pulled_at'
] %}

{{ hours_displayed(ref('account_hourly'), columns) }}
