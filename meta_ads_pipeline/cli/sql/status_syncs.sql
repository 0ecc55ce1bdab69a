select
    sync_id,
    case when scope like 'gaps %' then 'gaps' else 'sync' end as what,
    start_date,
    end_date,
    status,
    nullif(started_at, 'epoch') as started_at,
    finished_at
from control.syncs
order by coalesce(finished_at, now()) desc limit 5
