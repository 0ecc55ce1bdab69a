insert into control.connections as c (workspace_id, name, token_fingerprint)
values (%(workspace)s, %(name)s, %(fingerprint)s)
on conflict (workspace_id, name) do update
    set
        token_fingerprint = excluded.token_fingerprint, token_type = null, scopes = '{}',
        app_id = null, user_id = null, issued_at = null, expires_at = null,
        data_access_expires_at = null, last_validated_at = null, status = 'active',
        status_reason = null, updated_at = now()
    where c.token_fingerprint is distinct from excluded.token_fingerprint
returning connection_id::text as connection_id
