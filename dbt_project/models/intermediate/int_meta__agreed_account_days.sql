-- Account-days whose three pulls are there and agree in every measure: only these move into the
-- facts. Any other keeps the rows of its last good state.
select
    account_id,
    event_date
from {{ ref('reconciliation') }}
group by account_id, event_date
having bool_and(status in ('reconciled', 'within_tolerance'))
