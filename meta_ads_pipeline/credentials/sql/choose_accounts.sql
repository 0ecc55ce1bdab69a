insert into control.ad_accounts as a (
    account_id, workspace_id, connection_id,
    name, currency, timezone, account_status, is_active
)
values (
    %(id)s, %(workspace)s, %(connection)s, %(name)s, %(currency)s,
    %(timezone)s, %(status)s, %(chosen)s
)
on conflict (account_id) do update set
    workspace_id = excluded.workspace_id,
    connection_id = excluded.connection_id, is_active = excluded.is_active,
    updated_at = now()
where %(chosen)s
