select
    account_id,
    event_date,
    'the date had begun when it was pulled' as rule,
    false as is_warning,
    count(*) as violations,
    'pulled_at ' || min(pulled_at) as observed
from raw.{{ table }}
where
    account_id = any(%(accounts)s)
    and event_date between %(start)s and %(end)s
    and event_date > (pulled_at at time zone timezone)::date
group by account_id, event_date
