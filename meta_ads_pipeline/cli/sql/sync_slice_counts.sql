select
    count(*) filter (where status = 'done') as done,
    count(*) filter (where status in ('failed', 'parked')) as failed,
    array_agg(distinct error_message) filter (where status in ('failed', 'parked'))
        as errors
from control.slices
where sync_id = %(sync)s
