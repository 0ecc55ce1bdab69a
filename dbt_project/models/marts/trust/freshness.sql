{{ config(materialized='view') }}

with days as (
    select
        account_id,
        min(event_date) filter (where last_pulled_at is not null) as first_date,
        max(event_date) filter (where last_pulled_at is not null) as last_date,
        max(hours_until) as hours_until,
        count(*) filter (where state = 'missing') as missing_days,
        string_agg(to_char(event_date, 'YYYY-MM-DD'), ', ' order by event_date) filter (
            where state = 'missing'
        ) as missing_dates,
        count(*) filter (where state = 'incomplete') as incomplete_days,
        string_agg(to_char(event_date, 'YYYY-MM-DD'), ', ' order by event_date) filter (
            where state = 'incomplete'
        ) as incomplete_dates,
        count(*) filter (where state = 'unsettled') as unsettled_days
    from {{ ref('stg_meta__account_days') }}
    group by account_id
),

-- By a check of the landed rows, or by the build itself.
held as (
    select
        account_id,
        count(*) as held_days,
        string_agg(to_char(event_date, 'YYYY-MM-DD'), ', ' order by event_date) as held_dates
    from (
        select
            account_id,
            event_date
        from {{ ref('stg_meta__account_days') }}
        where is_held
        union
        select
            account_id,
            event_date
        from {{ ref('reconciliation') }}
        where status = 'mismatch'
    ) as held_account_days
    group by account_id
),

pulls as (
    select
        account_id,
        max(pulled_at) as last_pulled_at
    from {{ ref('stg_meta__slices') }}
    where asset = 'insights_hourly'
    group by account_id
),

-- The end of the newest hour that has been over for long enough, where the account is.
expected as (
    select
        account_id,
        date_trunc(
            'hour',
            ({{ current_instant() }} - interval '1 minute' * {{ expected_lag_minutes() }})
            at time zone timezone
        ) at time zone timezone as hours_until
    from {{ ref('stg_meta__ad_accounts') }}
)

select
    accounts.workspace_id,
    accounts.account_id,
    accounts.account_name as name,
    accounts.timezone,
    accounts.is_active,
    days.first_date,
    days.last_date,
    latest.event_at as last_hour_at,
    pulls.last_pulled_at,
    (extract(epoch from {{ current_instant() }} - latest.event_at - interval '1 hour') / 60)::int
        as data_lag_minutes,
    (extract(epoch from {{ current_instant() }} - pulls.last_pulled_at) / 60)::int
        as pull_lag_minutes,
    {{ expected_lag_minutes() }} as expected_lag_minutes,
    accounts.is_active and coalesce(days.hours_until < expected.hours_until, true) as is_late,
    coalesce(days.missing_days, 0) as missing_days,
    days.missing_dates,
    coalesce(held.held_days, 0) as held_days,
    held.held_dates,
    coalesce(days.incomplete_days, 0) as incomplete_days,
    days.incomplete_dates,
    coalesce(days.unsettled_days, 0) as unsettled_days,
    days.hours_until
from {{ ref('stg_meta__ad_accounts') }} as accounts
inner join expected on accounts.account_id = expected.account_id
left join days on accounts.account_id = days.account_id
left join held on accounts.account_id = held.account_id
left join pulls on accounts.account_id = pulls.account_id
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
