update control.slices as s set
    status = 'done', error_kind = null,
    error_message = null, next_attempt_at = null
from unnest(%(accounts)s::text[], %(days)s::date[]) as m (account_id, day)
where
    s.account_id = m.account_id and s.partition_date = m.day
    and s.asset = any(%(assets)s) and s.status = 'mismatched'
