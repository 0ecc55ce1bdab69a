insert into control.slice_failures (
    account_id, partition_date, asset, status, error_kind, error_message,
    sync_id, run_id, requested_by, api_version, code_version, started_at
)
select
    account_id,
    partition_date,
    asset,
    status,
    error_kind,
    error_message,
    sync_id,
    run_id,
    %(requested_by)s,
    %(api_version)s,
    %(code_version)s,
    started_at
from control.slices
where account_id = %(account)s and asset = %(asset)s and partition_date = any(%(dates)s)
