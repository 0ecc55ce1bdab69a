-- Account-days whose three pulls are there and agree in every measure, and whose landed rows pass
-- every blocking check: only these move into the facts. Any other keeps the rows of its last good
-- state.
select
    reconciliation.account_id,
    reconciliation.event_date
from {{ ref('reconciliation') }} as reconciliation
where
    not exists (
        select 1
        from {{ ref('stg_meta__check_results') }} as checks
        where
            checks.account_id = reconciliation.account_id
            and checks.event_date = reconciliation.event_date
            and checks.holds_back
    )
group by reconciliation.account_id, reconciliation.event_date
having bool_and(reconciliation.status in ('reconciled', 'within_tolerance'))
