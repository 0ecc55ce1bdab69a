select
    coalesce(w.name || '/' || c.name, n.connection) as connection,
    sum(n.calls) as calls,
    sum(n.wasted) as wasted,
    (
        select max(b.tier) from control.call_budgets as b
        where b.app in (c.app_id, 'connection ' || w.name || '/' || c.name)
    ) as tier
from control.call_counts as n
left join control.connections as c on c.connection_id::text = n.connection
left join control.workspaces as w using (workspace_id)
where n.minute > now() - interval '1 hour'
group by n.connection, w.name, c.name, c.app_id
order by 1
