select
    change_id,
    account_id,
    event_date,
    asset,
    entity_id as external_entity_id,
    event_hour,
    measure,
    old_value,
    new_value,
    previous_pulled_at,
    detected_at
from {{ source('ledger', 'insights_changes') }}
