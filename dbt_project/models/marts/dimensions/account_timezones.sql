{{ config(materialized='view') }}

with dates as (
    select
        account_id,
        event_date,
        timezone,
        lag(timezone) over (partition by account_id order by event_date) as previous_timezone
    from {{ ref('account_daily') }}
    where provider = 'meta'
),

numbered as (
    select
        dates.*,
        count(*) filter (where previous_timezone is distinct from timezone) over (
            partition by account_id
            order by event_date
        ) as run_number
    from dates
),

runs as (
    select
        account_id,
        timezone,
        min(event_date) as first_date,
        max(event_date) as last_date,
        count(*) as days,
        -- Other rows of the run have the run's own timezone there.
        max(previous_timezone) filter (where previous_timezone <> timezone) as previous_timezone
    from numbered
    group by account_id, timezone, run_number
),

settings as (
    select
        account_id,
        timezone,
        max(valid_from) as seen_at
    from {{ ref('stg_meta__account_timezones') }}
    group by account_id, timezone
),

shifted as (
    select
        account_id,
        coalesce(runs.timezone, settings.timezone) as timezone,
        settings.seen_at,
        runs.first_date,
        runs.last_date,
        coalesce(runs.days, 0) as days,
        extract(
            epoch from (runs.first_date::timestamp at time zone runs.timezone)
            - (runs.first_date::timestamp at time zone runs.previous_timezone)
        ) / 3600 as shift_hours
    from runs
    full join settings using (account_id, timezone)
)

select
    accounts.workspace_id,
    shifted.account_id,
    accounts.account_name as name,
    shifted.timezone,
    shifted.seen_at,
    shifted.timezone = accounts.timezone as is_current,
    shifted.first_date,
    shifted.last_date,
    shifted.days,
    case when shifted.shift_hours > 0 then round(shifted.shift_hours, 2) else 0 end
        as missing_hours,
    case when shifted.shift_hours < 0 then round(-shifted.shift_hours, 2) else 0 end
        as doubled_hours
from shifted
inner join {{ ref('stg_meta__ad_accounts') }} as accounts
    on shifted.account_id = accounts.account_id
