insert into control.slice_loads (
    account_id, partition_date, asset, sync_id, run_id,
    rows_fetched, rows_inserted, rows_updated, rows_deleted, rows_unchanged,
    rows_dead_lettered, api_calls, pulled_at,
    requested_by, api_version, code_version, started_at
)
select
    %(account)s,
    day,
    %(asset)s,
    %(sync)s,
    %(run)s,
    fetched,
    inserted,
    updated,
    deleted,
    unchanged,
    dead_lettered,
    calls,
    %(pulled_at)s,
    %(requested_by)s,
    %(api_version)s,
    %(code_version)s,
    (
        select s.started_at from control.slices as s
        where
            s.account_id = %(account)s and s.partition_date = l.day and s.asset = %(asset)s
    )
from
    unnest(
        %(dates)s::date[], %(fetched)s::int[], %(inserted)s::int[], %(updated)s::int[],
        %(deleted)s::int[], %(unchanged)s::int[], %(dead_lettered)s::int[], %(calls)s::int[]
    ) as l (day, fetched, inserted, updated, deleted, unchanged, dead_lettered, calls)
-- The same pull landed again: the answer to its first commit was lost with the server.
where not exists (
    select from control.slice_loads as same
    where
        same.account_id = %(account)s and same.partition_date = l.day
        and same.asset = %(asset)s and same.run_id = %(run)s
        and same.pulled_at = %(pulled_at)s
)
