{{ config(materialized='view') }}

select
    accounts.workspace_id,
    checks.account_id,
    accounts.account_name as name,
    checks.event_date,
    checks.asset,
    checks.check_name,
    checks.severity,
    checks.status,
    checks.holds_back,
    checks.violations,
    checks.observed,
    checks.expected,
    checks.message,
    checks.first_failed_at,
    checks.last_failed_at,
    checks.times_failed,
    checks.last_checked_at,
    checks.run_id
from {{ ref('stg_meta__check_results') }} as checks
left join {{ ref('stg_meta__ad_accounts') }} as accounts
    on checks.account_id = accounts.account_id
