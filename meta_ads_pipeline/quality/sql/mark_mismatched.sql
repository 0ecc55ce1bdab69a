update control.slices as s set
    status = 'mismatched', error_kind = 'mismatch',
    error_message = left(m.reason, 2000),
    next_attempt_at = clock_timestamp() + least(
        %(longest)s,
        %(first)s * power(2, least(greatest(s.attempts, 1), 12) - 1)
    )
from
    unnest(%(accounts)s::text[], %(days)s::date[], %(reasons)s::text[])
        as m (account_id, day, reason)
where
    s.account_id = m.account_id and s.partition_date = m.day
    and s.asset = any(%(assets)s) and s.status = 'done'
