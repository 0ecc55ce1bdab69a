{{ config(materialized='view') }}

select
    accounts.workspace_id,
    accounts.account_id,
    {{ today_in('accounts.timezone') }} as today,
    {{ today_in('accounts.timezone') }} - 1 as yesterday,
    {{ today_in('coalesce(zones.timezone, accounts.timezone)') }} as display_today
from {{ ref('stg_meta__ad_accounts') }} as accounts
left join {{ ref('int_meta__display_timezones') }} as zones
    on accounts.workspace_id = zones.workspace_id
