-- Whether each hour is the instant that its date and label name in the account's timezone: worked
-- out by Postgres, with its own timezone data, not by the code that landed it.
with hours as (
    select
        account_id,
        event_date,
        event_hour,
        event_at,
        timezone,
        hour_flag,
        count(*) as rows
    from raw.{{ table }}
    where account_id = any(%(accounts)s) and event_date between %(start)s and %(end)s
    group by account_id, event_date, event_hour, event_at, timezone, hour_flag
),

labelled as (
    select
        hours.*,
        event_date + make_interval(hours => event_hour) as label,
        event_at at time zone timezone as local_time,
        (event_at - interval '1 minute') at time zone timezone as minute_before
    from hours
)

select
    account_id,
    event_date,
    'event_at is the first instant of the date and hour in the account''s timezone' as rule,
    false as is_warning,
    sum(rows)::bigint as violations,
    'event_hour ' || min(event_hour) || ', event_at ' || min(event_at) as observed
from labelled
where
    not case
        when hour_flag = 'skipped'
            then local_time between label and label + interval '2 hours'
        else
            date_trunc('hour', local_time) = label
            and date_trunc('hour', minute_before) <> label
    end
group by account_id, event_date
