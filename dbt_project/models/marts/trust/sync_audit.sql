{{ config(materialized='view') }}

with attempts as (
    select
        'load ' || load_id as attempt_id,
        account_id,
        event_date,
        asset,
        case when run_id = 'replay' then 'replayed' else 'landed' end as result,
        requested_by,
        sync_id,
        run_id,
        started_at,
        loaded_at as finished_at,
        api_calls,
        rows_fetched,
        rows_inserted,
        rows_updated,
        rows_deleted,
        rows_unchanged,
        rows_dead_lettered,
        null as error_kind,
        null as error_message,
        api_version,
        code_version
    from {{ ref('stg_meta__slice_loads') }}
    union all
    select
        'failure ' || failure_id as attempt_id,
        account_id,
        event_date,
        asset,
        status as result,
        requested_by,
        sync_id,
        run_id,
        started_at,
        failed_at as finished_at,
        null as api_calls,
        null as rows_fetched,
        null as rows_inserted,
        null as rows_updated,
        null as rows_deleted,
        null as rows_unchanged,
        null as rows_dead_lettered,
        error_kind,
        error_message,
        api_version,
        code_version
    from {{ ref('stg_meta__slice_failures') }}
)

select
    attempts.attempt_id,
    accounts.workspace_id,
    attempts.account_id,
    attempts.event_date,
    attempts.asset,
    attempts.result,
    attempts.requested_by,
    attempts.sync_id,
    attempts.run_id,
    attempts.started_at,
    attempts.finished_at,
    extract(epoch from attempts.finished_at - attempts.started_at) as duration_seconds,
    attempts.api_calls,
    attempts.rows_fetched,
    attempts.rows_inserted,
    attempts.rows_updated,
    attempts.rows_deleted,
    attempts.rows_unchanged,
    attempts.rows_dead_lettered,
    attempts.error_kind,
    attempts.error_message,
    attempts.api_version,
    attempts.code_version
from attempts
left join {{ ref('stg_meta__ad_accounts') }} as accounts
    on attempts.account_id = accounts.account_id
