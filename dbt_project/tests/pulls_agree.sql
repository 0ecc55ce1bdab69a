{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'reconciliation'}}}) }}

-- Account-days that are held out of the facts.
select
    account_id,
    event_date,
    measure,
    status,
    reason
from {{ ref('reconciliation') }}
where
    {{ dates_in_window('event_date') }}
    and status in ('mismatch', 'incomplete')
