select
    rows.account_id,
    rows.event_date,
    'the action type is a known one' as rule,
    true as is_warning,
    count(*) as violations,
    items.item ->> 'action_type' as observed,
    'unknown action type ' || (items.item ->> 'action_type') as message
from raw.insights_daily as rows
cross join
    lateral jsonb_array_elements(
        case when jsonb_typeof(rows.actions) = 'array' then rows.actions else '[]' end
    ) as items (item)
where
    rows.account_id = any(%(accounts)s)
    and rows.event_date between %(start)s and %(end)s
    and items.item ->> 'action_type' <> all(%(known_types)s)
    and not items.item ->> 'action_type' like any(%(custom_types)s)
group by rows.account_id, rows.event_date, items.item ->> 'action_type'
