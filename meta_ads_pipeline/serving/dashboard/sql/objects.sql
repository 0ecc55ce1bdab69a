select
    e.external_entity_id,
    e.name,
    e.effective_status,
    e.goal,
    e.is_deleted,
    c.title,
    c.body,
    coalesce(c.media_type, c.object_type) as format,
    c.call_to_action_type,
    c.destination_url,
    c.destination_domain
from marts.entities as e
left join marts.dim_ads as a on e.level = 'ad' and e.external_entity_id = a.ad_id
left join marts.dim_creatives as c on a.creative_id = c.creative_id
where
    e.workspace_id = %(workspace)s and e.level = %(level)s
    and e.external_entity_id = any(%(ids)s)
