select
    id as custom_conversion_id,
    account_id,
    name as conversion_name,
    custom_event_type,
    rule,
    is_deleted,
    first_seen_at,
    changed_at
from {{ source('raw', 'custom_conversions') }}
