select
    c.connection_id::text as connection_id,
    c.workspace_id::text as workspace_id,
    w.name as workspace,
    c.name,
    c.token_type,
    c.scopes,
    c.app_id,
    c.user_id,
    c.issued_at,
    c.expires_at,
    c.data_access_expires_at,
    c.status,
    c.status_reason,
    c.reads_all_accounts,
    c.token_ciphertext is not null as has_stored_token,
    c.token_fingerprint,
    c.last_validated_at,
    c.refreshed_at,
    c.refresh_attempted_at
from control.connections as c
inner join control.workspaces as w using (workspace_id)
where %(id)s::uuid is null or c.connection_id = %(id)s::uuid
order by c.token_ciphertext is not null, c.created_at, c.name
