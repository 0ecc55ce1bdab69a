{{ config(materialized='view') }}

-- Settled dates whose last pull came late enough to know the final value. A date speaks for the
-- days on which it was pulled, and for no others.
with settled as (
    select
        accounts.workspace_id,
        accounts.currency,
        ages.account_id,
        ages.event_date,
        ages.measure,
        ages.lag_days,
        ages.value,
        ages.final_value
    from {{ ref('int_meta__values_by_age') }} as ages
    inner join {{ ref('stg_meta__ad_accounts') }} as accounts
        on ages.account_id = accounts.account_id
    where
        ages.last_lag_days >= {{ var('settled_after_days') }}
        and {{ is_settled('ages.event_date', 'accounts.timezone') }}
)

select
    workspace_id,
    account_id,
    currency,
    measure,
    lag_days,
    count(*) as dates,
    min(event_date) as first_date,
    max(event_date) as last_date,
    sum(value) as value_after,
    sum(final_value) as final_value,
    {{ ratio('sum(value)', 'sum(final_value)') }} as share_of_final
from settled
group by workspace_id, account_id, currency, measure, lag_days
