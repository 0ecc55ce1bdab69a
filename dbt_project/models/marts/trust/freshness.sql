{{ config(materialized='view') }}

with slices as (
    select
        account_id,
        min(event_date) filter (where is_pulled) as first_date,
        max(event_date) filter (where is_pulled) as last_date,
        max(pulled_at) filter (where asset = 'insights_hourly') as last_pulled_at
    from {{ ref('stg_meta__slices') }}
    group by account_id
),

pulled_days as (
    select
        account_id,
        event_date
    from {{ ref('stg_meta__slices') }}
    where is_pulled
    group by account_id, event_date
    having count(*) = 3
),

gaps as (
    select
        slices.account_id,
        count(*) as missing_days,
        string_agg(to_char(calendar.day, 'YYYY-MM-DD'), ', ' order by calendar.day)
            as missing_dates
    from slices
    cross join
        lateral generate_series(
            slices.first_date::timestamp, slices.last_date::timestamp, interval '1 day'
        ) as calendar (day)
    left join pulled_days
        on
            slices.account_id = pulled_days.account_id
            and calendar.day::date = pulled_days.event_date
    where pulled_days.event_date is null
    group by slices.account_id
),

held as (
    select
        pulled.account_id,
        count(*) as held_days
    from (
        select
            account_id,
            event_date
        from {{ ref('reconciliation') }}
        except
        select
            account_id,
            event_date
        from {{ ref('int_meta__agreed_account_days') }}
    ) as pulled
    group by pulled.account_id
)

select
    accounts.workspace_id,
    accounts.account_id,
    accounts.account_name as name,
    accounts.timezone,
    accounts.is_active,
    slices.first_date,
    slices.last_date,
    latest.event_at as last_hour_at,
    slices.last_pulled_at,
    (extract(epoch from {{ current_instant() }} - latest.event_at - interval '1 hour') / 60)::int
        as data_lag_minutes,
    (extract(epoch from {{ current_instant() }} - slices.last_pulled_at) / 60)::int
        as pull_lag_minutes,
    {{ var('expected_lag_minutes') }} as expected_lag_minutes,
    accounts.is_active
    and coalesce(
        {{ current_instant() }} - slices.last_pulled_at
        > interval '1 minute' * {{ var('expected_lag_minutes') }},
        true
    ) as is_late,
    coalesce(gaps.missing_days, 0) as missing_days,
    gaps.missing_dates,
    coalesce(held.held_days, 0) as held_days
from {{ ref('stg_meta__ad_accounts') }} as accounts
left join slices on accounts.account_id = slices.account_id
left join gaps on accounts.account_id = gaps.account_id
left join held on accounts.account_id = held.account_id
left join
    lateral (
        select hourly.event_at
        from {{ ref('stg_meta__insights_hourly') }} as hourly
        where
            hourly.account_id = accounts.account_id
            and hourly.event_date = (
                select newest.event_date
                from {{ ref('stg_meta__insights_hourly') }} as newest
                where newest.account_id = accounts.account_id
                order by newest.event_date desc
                limit 1
            )
        order by hourly.event_at desc
        limit 1
    ) as latest
    on true
