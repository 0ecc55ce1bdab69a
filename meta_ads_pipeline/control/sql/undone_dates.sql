select
    s.partition_date as event_date,
    s.account_id,
    s.status || coalesce(': ' || s.error_message, '') as reason
from control.slices as s
inner join control.ad_accounts as a on s.account_id = a.account_id and a.is_active
where
    s.asset = %(asset)s and s.partition_date = any(%(dates)s)
    and s.status in ('failed', 'parked', 'running')
    and not {{ is_read_again }}
order by 1, 2
