select
    account_id,
    use_case,
    round(percent::numeric, 1) as percent,
    read_at,
    blocked_until,
    block_code,
    times_blocked
from control.call_budgets
where read_at > now() - interval '1 hour' and percent >= 50 or blocked_until is not null
order by blocked_until asc nulls last, percent desc
