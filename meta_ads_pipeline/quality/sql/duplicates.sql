-- One row per ad (or account) and time is the table's primary key; within a row each action type
-- stands once.
select
    rows.account_id,
    rows.event_date,
    'each action type stands once in ' || lists.name as rule,
    false as is_warning,
    count(*) as violations,
    min(repeated.action_type) || ' twice' as observed
from raw.{{ table }} as rows
cross join lateral (values {{ action_lists }}) as lists (name, items)
cross join
    lateral (
        select items.item ->> 'action_type' as action_type
        from
            jsonb_array_elements(
                case when jsonb_typeof(lists.items) = 'array' then lists.items else '[]' end
            ) as items (item)
        group by items.item ->> 'action_type'
        having count(*) > 1
        order by items.item ->> 'action_type'
        limit 1
    ) as repeated
where
    rows.account_id = any(%(accounts)s)
    and rows.event_date between %(start)s and %(end)s
group by rows.account_id, rows.event_date, lists.name
