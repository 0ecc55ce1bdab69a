insert into control.connections as c (
    workspace_id, name, token_ciphertext,
    token_fingerprint, token_type, scopes, app_id, user_id, issued_at, expires_at,
    data_access_expires_at, status, status_reason, reads_all_accounts,
    last_validated_at
)
values (
    %(workspace)s, %(name)s, %(ciphertext)s, %(fingerprint)s, %(token_type)s,
    %(scopes)s, %(app_id)s, %(user_id)s, %(issued_at)s, %(expires_at)s,
    %(data_access_expires_at)s, %(status)s, %(reason)s, %(all)s, %(now)s
)
on conflict (workspace_id, name) do update
    set
        token_ciphertext = excluded.token_ciphertext,
        token_fingerprint = excluded.token_fingerprint, status = excluded.status,
        status_reason = excluded.status_reason,
        reads_all_accounts = excluded.reads_all_accounts,
        last_validated_at = excluded.last_validated_at, {{ set_facts }},
        refreshed_at = null, refresh_attempted_at = null, updated_at = now()
    where c.user_id is null or excluded.user_id is null
    or c.user_id = excluded.user_id
returning connection_id::text as connection_id
