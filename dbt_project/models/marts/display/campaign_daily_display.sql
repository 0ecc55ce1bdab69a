{{ config(materialized='view') }}

{{ display_days(ref('campaign_hourly'), ['campaign_id']) }}
