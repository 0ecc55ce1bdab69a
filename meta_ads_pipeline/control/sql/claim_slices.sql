insert into control.slices
(account_id, partition_date, asset, status, sync_id, run_id, attempts)
select
    %(account)s,
    day,
    %(asset)s,
    'running',
    %(sync)s,
    %(run)s,
    1
from unnest(%(dates)s::date[]) as day
on conflict (account_id, partition_date, asset) do update set
    status = 'running', sync_id = excluded.sync_id, run_id = excluded.run_id,
    attempts = case when slices.status = 'done' then 1 else slices.attempts + 1 end,
    started_at = clock_timestamp(), finished_at = null, next_attempt_at = null
