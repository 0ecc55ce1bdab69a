select
    account_id,
    max(object_level) as level,
    object_id,
    array_agg(webhook_event_id order by webhook_event_id) as event_ids,
    min(first_received_at) as first_received_at
from control.webhook_events
where status = 'pending' and next_attempt_at <= %(now)s and account_id = any(%(accounts)s)
group by account_id, object_id
order by min(first_received_at), object_id limit %(limit)s
