select
    w.name || '/' || c.name as connection,
    c.status,
    c.status_reason as reason,
    c.token_ciphertext is null as from_environment,
    coalesce(array_agg(a.account_id) filter (where a.is_active), '{}') as account_ids
from control.connections as c
inner join control.workspaces as w using (workspace_id)
left join control.ad_accounts as a using (connection_id)
group by c.connection_id, w.name
order by 1
