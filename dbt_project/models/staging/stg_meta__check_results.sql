select
    account_id,
    event_date,
    asset,
    check_name,
    status,
    severity,
    violations,
    observed,
    expected,
    message,
    run_id,
    first_failed_at,
    last_failed_at,
    last_checked_at,
    times_failed,
    -- The gate. Only of landed rows: what is compared in the marts is judged anew by each build.
    status = 'failed' and severity = 'block' and asset like 'raw/%' as holds_back
from {{ source('control', 'check_results') }}
