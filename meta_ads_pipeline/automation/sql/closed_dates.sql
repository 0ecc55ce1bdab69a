select
    account_id,
    partition_date,
    min(pulled_at) as pulled_at,
    bool_or(status in ('failed', 'parked', 'mismatched')) as is_left_to_retries
from control.slices
where
    account_id = any(%(accounts)s) and asset = any(%(assets)s)
    and partition_date >= %(first)s
group by 1, 2
having
    count(*) filter (where pulled_at is not null) = cardinality(%(assets)s::text[])
    or bool_or(status in ('failed', 'parked', 'mismatched'))
order by partition_date
