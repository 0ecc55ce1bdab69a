insert into control.slices as s
(account_id, partition_date, asset, status, sync_id, run_id, finished_at)
select
    %(account)s,
    day,
    %(asset)s,
    'not_kept',
    %(sync)s,
    %(run)s,
    clock_timestamp()
from unnest(%(dates)s::date[]) as day
on conflict (account_id, partition_date, asset) do update set
    status = case when s.pulled_at is null then 'not_kept' else 'done' end,
    sync_id = excluded.sync_id, run_id = excluded.run_id,
    error_kind = null, error_message = null, next_attempt_at = null
where s.status in ('running', 'failed', 'parked', 'mismatched')
