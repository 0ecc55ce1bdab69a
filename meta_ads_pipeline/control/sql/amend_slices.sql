with amended as (
    update control.slices set
        rows_inserted = coalesce(rows_inserted, 0) + %(inserted)s,
        rows_updated = coalesce(rows_updated, 0) + %(updated)s,
        rows_dead_lettered = greatest(coalesce(rows_dead_lettered, 0) - %(letters)s, 0)
    where
        account_id = %(account)s and partition_date = %(day)s and asset = %(asset)s
        and pulled_at is not null
    returning pulled_at
)

insert into control.slice_loads (
    account_id, partition_date, asset, run_id,
    rows_fetched, rows_inserted, rows_updated, rows_deleted, rows_unchanged,
    rows_dead_lettered, api_calls, pulled_at, requested_by, code_version
)
select
    %(account)s,
    %(day)s,
    %(asset)s,
    %(replay)s,
    0,
    %(inserted)s,
    %(updated)s,
    0,
    %(unchanged)s,
    0,
    0,
    pulled_at,
    'meta-ads dead-letters replay',
    %(version)s
from amended
