select
    account_id,
    event_date,
    'the hour had begun when it was pulled' as rule,
    false as is_warning,
    count(*) as violations,
    'event_at ' || max(event_at) || ', pulled_at ' || min(pulled_at) as observed
from raw.{{ table }}
where
    account_id = any(%(accounts)s)
    and event_date between %(start)s and %(end)s
    and event_at > pulled_at
group by account_id, event_date
