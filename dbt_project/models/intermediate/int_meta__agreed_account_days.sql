-- Account-days whose three pulls are there and agree, and whose landed rows pass every blocking
-- check: only these move into the facts, without the measures that disagree. What stays out keeps
-- its last good values.
with measures as (
    select
        reconciliation.account_id,
        reconciliation.event_date,
        reconciliation.is_complete,
        reconciliation.is_settled,
        reconciliation.hourly_total,
        case
            when reconciliation.status not in ('reconciled', 'within_tolerance')
                then reconciliation.measure
        end as held_measure
    from {{ ref('reconciliation') }} as reconciliation
),

account_days as (
    select
        account_id,
        event_date,
        coalesce(bool_and(is_complete), false) as is_complete,
        bool_and(is_settled) as is_settled,
        bool_or(hourly_total is not null) as has_hours,
        array_remove(array_agg(held_measure order by held_measure), null) as held_measures
    from measures
    group by account_id, event_date
    having bool_or(held_measure is null)
)

select
    account_days.account_id,
    account_days.event_date,
    account_days.held_measures,
    account_days.has_hours,
    account_days.is_settled,
    account_days.held_measures = '{}' and account_days.is_complete as is_reconciled
from account_days
where
    not exists (
        select 1
        from {{ ref('stg_meta__check_results') }} as checks
        where
            checks.account_id = account_days.account_id
            and checks.event_date = account_days.event_date
            and checks.holds_back
    )
