{{ config(meta={'dagster': {'ref': {'name': 'reconciliation'}}}) }}
-- depends_on: {{ ref('reconciliation') }}

-- Rows of an account that control.ad_accounts does not list would stay out of every mart.
select pulled.account_id
from (
    select account_id
    from {{ ref('stg_meta__account_totals') }}
    where {{ dates_in_window('event_date') }}
    union
    select account_id
    from {{ ref('stg_meta__insights_daily') }}
    where {{ dates_in_window('event_date') }}
    union
    select account_id
    from {{ ref('stg_meta__insights_hourly') }}
    where {{ dates_in_window('event_date') }}
) as pulled
left join {{ ref('stg_meta__ad_accounts') }} as accounts
    on pulled.account_id = accounts.account_id
where accounts.account_id is null
