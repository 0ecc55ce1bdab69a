select
    entity_id,
    level,
    external_entity_id,
    name,
    parent_external_id,
    account_id,
    provider,
    status,
    effective_status,
    goal,
    is_deleted,
    changed_at
from marts.entities
where
    workspace_id = %(workspace)s
    and (%(level)s::text is null or level = %(level)s)
    and (%(parent)s::text is null or parent_external_id = %(parent)s)
    and (
        %(search)s::text is null
        or strpos(lower(name), lower(%(search)s)) > 0
        or external_entity_id = %(search)s
    )
order by array_position(%(levels)s::text[], level), name, external_entity_id
limit %(limit)s offset %(skip)s
