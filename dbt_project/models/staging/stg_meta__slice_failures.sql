select
    failure_id,
    account_id,
    partition_date as event_date,
    asset,
    status,
    error_kind,
    error_message,
    started_at,
    failed_at,
    requested_by,
    sync_id,
    run_id,
    api_version,
    code_version
from {{ source('control', 'slice_failures') }}
