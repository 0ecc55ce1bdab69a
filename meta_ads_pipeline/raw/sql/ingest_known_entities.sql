select
    entity_id,
    provider,
    level,
    external_entity_id,
    account_id,
    campaign_id,
    adset_id
from raw.ingested_entities
where entity_id = any(%(ids)s::uuid[]) and workspace_id = %(workspace)s
