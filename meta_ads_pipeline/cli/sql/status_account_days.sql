select
    account_id,
    state,
    count(*) as days,
    string_agg(
        to_char(event_date, 'YYYY-MM-DD'),
        ', ' order by event_date
    ) as dates,
    left(max(held_because), 200) as reason
from control.account_days
where is_active and (is_held or state in ('missing', 'incomplete', 'unsettled'))
group by account_id, state
order by account_id, state
