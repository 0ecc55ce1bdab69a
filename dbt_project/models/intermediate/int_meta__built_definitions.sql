{{ config(
    materialized='incremental',
    incremental_strategy='replace_window',
    unique_key=['account_id', 'event_date'],
    meta={'kept_rows': waits_for_agreement()},
    post_hook='{{ finish_ingested_days() }}',
    indexes=[{'columns': ['account_id', 'event_date'], 'unique': true}]
) }}

-- After the rollups, so that a date counts as rebuilt only when all of it is.
-- depends_on: {{ ref('conversions_daily') }}
-- depends_on: {{ ref('account_daily') }}
-- depends_on: {{ ref('campaign_daily') }}
-- depends_on: {{ ref('adset_daily') }}
-- depends_on: {{ ref('ad_daily') }}
-- depends_on: {{ ref('account_hourly') }}
-- depends_on: {{ ref('campaign_hourly') }}
select
    agreed.account_id,
    agreed.event_date,
    '{{ definition() }}' as definition,
    goals.goals
from {{ ref('int_meta__agreed_account_days') }} as agreed
-- The window is said of both: Postgres does not carry it over, and goals are a sum over all dates.
left join {{ ref('int_meta__day_goals') }} as goals
    on
        agreed.account_id = goals.account_id
        and agreed.event_date = goals.event_date
        and {{ in_window('goals.event_date') }}
where {{ in_window('agreed.event_date') }}
