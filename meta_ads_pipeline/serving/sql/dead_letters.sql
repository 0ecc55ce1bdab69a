select
    dead_letter_id,
    account_id,
    asset,
    partition_date,
    object_id,
    field,
    reason,
    document,
    source_call,
    status,
    attempts,
    first_seen_at,
    last_seen_at,
    resolved_at,
    resolution
from serving.workspace_dead_letters
where
    workspace_id = %(workspace)s
    and (%(account)s::text is null or account_id = %(account)s)
    and (%(asset)s::text is null or asset = %(asset)s)
    and (%(status)s::text is null or status = %(status)s)
order by last_seen_at desc, dead_letter_id desc
limit %(limit)s offset %(skip)s
