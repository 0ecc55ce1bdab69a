select
    account_id,
    level,
    entity_id as external_entity_id,
    valid_from,
    document
from {{ source('ledger', 'entity_versions') }}
