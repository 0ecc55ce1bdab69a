-- Each account-day has a row of spend; completeness and age are the day's own, so that of the other
-- measures only those tell something new that do not agree.
select
    count(*) as account_days,
    count(*) filter (where is_settled) as settled_days,
    count(*) filter (where not is_complete) as open_days,
    coalesce(
        array_agg('act_' || account_id || ' ' || event_date order by event_date, account_id)
        filter (where is_held),
        '{}'
    ) as held_days,
    bool_and(is_settled) as is_settled,
    bool_and(is_reconciled) as is_reconciled,
    min(pulled_at) as oldest_pull_at,
    max(pulled_at) as newest_pull_at
from (
    select
        account_id,
        event_date,
        bool_and(is_settled) as is_settled,
        bool_and(is_complete) as is_complete,
        bool_or(status = 'mismatch') as is_held,
        bool_and(status in ('reconciled', 'within_tolerance')) as is_reconciled,
        max(pulled_at) as pulled_at
    from marts.reconciliation
    where
        account_id = any(%(accounts)s) and event_date between %(start)s and %(end)s
        and (measure = 'spend' or status not in ('reconciled', 'within_tolerance'))
    group by account_id, event_date
) as days
