insert into control.slices as s (
    account_id, partition_date, asset, status, sync_id,
    run_id, attempts, finished_at, error_kind, error_message, next_attempt_at
)
select
    %(account)s,
    day,
    %(asset)s,
    %(status)s,
    %(sync)s,
    %(run)s,
    1,
    clock_timestamp(),
    %(kind)s,
    %(message)s,
    clock_timestamp() + %(delay)s::interval
from unnest(%(dates)s::date[]) as day
on conflict (account_id, partition_date, asset) do update set
    status = excluded.status, sync_id = excluded.sync_id, run_id = excluded.run_id,
    finished_at = excluded.finished_at, error_kind = excluded.error_kind,
    error_message = excluded.error_message,
    next_attempt_at = case
        when %(delay)s::interval is not null
            then clock_timestamp() + least(
                %(longest)s, %(delay)s::interval
                * power(2, least(greatest(s.attempts, 1), 12) - 1)
            )
    end
