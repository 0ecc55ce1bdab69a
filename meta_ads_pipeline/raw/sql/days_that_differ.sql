select distinct event_date
from (
    select
        event_date,
        ad_id,
        max(timezone) as timezone,
        {{ sums }}
    from raw.insights_hourly
    where account_id = %(account)s and event_date = any(%(dates)s)
    group by event_date, ad_id
) as h
full join (
    select
        event_date,
        ad_id,
        timezone,
        {{ measures }}
    from raw.insights_daily
    where account_id = %(account)s and event_date = any(%(dates)s)
) as d using (event_date, ad_id)
where
    ({{ of_hours }}) is distinct from ({{ of_days }})
    -- Days read after a change of the account's timezone: the same sums, but other hours.
    or h.timezone <> d.timezone
