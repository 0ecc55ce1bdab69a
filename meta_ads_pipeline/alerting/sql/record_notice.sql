insert into control.alert_notices as n (
    alert_id, destination, notice, escalated_at,
    attempts, next_attempt_at, sent_at, error
)
values (
    %(alert)s, %(destination)s, %(notice)s, %(escalated)s, 1,
    %(now)s + %(first)s, %(sent)s, %(error)s
)
on conflict (alert_id, destination, notice, escalated_at) do update set
    attempts = n.attempts + 1, sent_at = excluded.sent_at, error = excluded.error,
    next_attempt_at = %(now)s + least(%(longest)s, %(first)s * power(2, n.attempts))
