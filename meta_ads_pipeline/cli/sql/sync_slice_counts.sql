select
    count(*) filter (where status = 'done') as done,
    coalesce(sum(api_calls), 0)::int as calls,
    count(*) filter (where status in ('failed', 'parked')) as failed,
    array_agg(distinct error_message) filter (where status in ('failed', 'parked'))
        as errors
from control.slices
where sync_id = %(sync)s
