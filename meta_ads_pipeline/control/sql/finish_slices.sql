insert into control.slices (
    account_id, partition_date, asset, status, sync_id, run_id,
    attempts, rows_fetched, rows_inserted, rows_updated, rows_deleted, rows_unchanged,
    rows_dead_lettered, api_calls, pulled_at, attribution_windows, finished_at
)
select
    %(account)s,
    day,
    %(asset)s,
    'done',
    %(sync)s,
    %(run)s,
    1,
    fetched,
    inserted,
    updated,
    deleted,
    unchanged,
    dead_lettered,
    calls,
    %(pulled_at)s,
    %(windows)s::text[],
    clock_timestamp()
from
    unnest(
        %(dates)s::date[], %(fetched)s::int[], %(inserted)s::int[], %(updated)s::int[],
        %(deleted)s::int[], %(unchanged)s::int[], %(dead_lettered)s::int[], %(calls)s::int[]
    ) as l (day, fetched, inserted, updated, deleted, unchanged, dead_lettered, calls)
on conflict (account_id, partition_date, asset) do update set
    status = 'done', sync_id = excluded.sync_id, run_id = excluded.run_id,
    rows_fetched = excluded.rows_fetched, rows_inserted = excluded.rows_inserted,
    rows_updated = excluded.rows_updated, rows_deleted = excluded.rows_deleted,
    rows_unchanged = excluded.rows_unchanged,
    rows_dead_lettered = excluded.rows_dead_lettered, api_calls = excluded.api_calls,
    pulled_at = excluded.pulled_at, finished_at = excluded.finished_at,
    attribution_windows = excluded.attribution_windows,
    error_kind = null, error_message = null, next_attempt_at = null
