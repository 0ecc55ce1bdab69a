update control.webhook_events set
    attempts = attempts + 1, reason = %(reason)s,
    status = case when attempts + 1 >= %(most)s then 'failed' else status end,
    finished_at = case when attempts + 1 >= %(most)s then %(now)s end,
    next_attempt_at = %(now)s + least(%(longest)s, %(first)s * power(2, attempts))
where webhook_event_id = any(%(ids)s) and status = 'pending'
