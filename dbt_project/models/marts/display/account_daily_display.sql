{{ config(materialized='view') }}

{{ display_days(ref('account_hourly'), []) }}
