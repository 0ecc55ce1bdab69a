select
    landed.account_id,
    null::date as event_date,
    'the field was asked for' as rule,
    true as is_warning,
    count(*) as violations,
    keys.field as observed,
    'field that was not asked for: ' || keys.field as message
from raw.{{ table }} as landed
cross join lateral jsonb_object_keys(landed.document) as keys (field)
where landed.account_id = any(%(accounts)s) and keys.field <> all(%(asked)s)
group by landed.account_id, keys.field
