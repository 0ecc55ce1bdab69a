select
    connection_id,
    name,
    status,
    status_reason,
    token_type,
    expires_at,
    data_access_expires_at,
    last_validated_at,
    is_from_environment,
    account_ids
from serving.workspace_connections
where
    workspace_id = %(workspace)s
    and (
        %(connection)s::text is null
        or name = %(connection)s
        or connection_id::text = %(connection)s
    )
order by name
