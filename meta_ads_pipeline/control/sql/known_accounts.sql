select
    coalesce(a.account_id, u.account_id) as account_id,
    a.name,
    a.currency,
    a.timezone,
    w.name || '/' || c.name as connection,
    u.since,
    u.reason,
    u.tries,
    u.next_try_at,
    case
        when u.is_stopped then 'stopped'
        when u.account_id is not null and u.next_try_at is null
            then 'gone'
        when u.account_id is not null then 'unreadable'
        when a.is_active then 'active' else 'stopped'
    end as state
from control.ad_accounts as a
full join control.unreadable_accounts as u using (account_id)
left join control.connections as c using (connection_id)
left join control.workspaces as w on c.workspace_id = w.workspace_id
where
    cardinality(%(only)s::text[]) = 0
    or coalesce(a.account_id, u.account_id) = any(%(only)s)
order by coalesce(a.account_id, u.account_id)
