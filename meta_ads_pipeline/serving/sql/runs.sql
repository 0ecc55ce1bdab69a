select
    run_id,
    sync_id,
    job,
    status,
    started_by,
    start_date,
    end_date,
    account_ids,
    is_own,
    queued_at,
    started_at,
    finished_at
from control.workspace_runs()
where
    (%(id)s::text is null or run_id = %(id)s)
    and (
        %(state)s::text is null
        or (%(state)s = 'unfinished') = (status = any(%(unfinished)s::text[]))
    )
order by queued_at desc, run_id desc
limit %(limit)s offset %(skip)s
