select
    e.entity_id,
    'meta' as provider,
    e.level,
    e.external_entity_id,
    e.account_id,
    case e.level
        when 'campaign' then e.external_entity_id
        when 'adset' then e.parent_external_id
        when 'ad' then p.parent_external_id
    end as campaign_id,
    case e.level
        when 'adset' then e.external_entity_id
        when 'ad' then e.parent_external_id
    end as adset_id
from marts.entities as e
left join marts.entities as p on e.parent_id = p.entity_id
where e.entity_id = any(%(ids)s::uuid[]) and e.workspace_id = %(workspace)s
