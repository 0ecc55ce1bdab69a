-- The ledger of restated measures, of slices that had been loaded before. New and vanished rows are
-- in it, too (old or new is null), so that for every slice the first load plus all differences is
-- what the table holds.
insert into raw.insights_changes (
    account_id, event_date, asset, entity_id, event_hour, measure, old_value, new_value, previous_pulled_at, detected_at
)
select
    %(account)s,
    d.event_date,
    %(asset)s,
    {{ entity }},
    {{ hour }},
    m.measure,
    m.old_value,
    m.new_value,
    p.pulled_at,
    %(pulled_at)s
from slice_difference as d
inner join unnest(%(loaded_dates)s::date[], %(loaded_at)s::timestamptz[]) as p (event_date, pulled_at)
    on d.event_date = p.event_date
cross join
    lateral (
        select
            measures.measure,
            measures.old_value::text as old_value,
            measures.new_value::text as new_value
        from
            unnest(
                array[{{ measures }}], array[{{ old_measures }}]::numeric[], array[{{ new_measures }}]::numeric[]
            ) as measures (measure, old_value, new_value)
        where measures.old_value is distinct from measures.new_value
        union all
        select
            lists.name || ':' || items.action_type,
            items.old_value,
            items.new_value
        from
            unnest(
                array[{{ lists }}]::text[], array[{{ old_lists }}]::jsonb[], array[{{ new_lists }}]::jsonb[]
            ) as lists (name, old_items, new_items)
        cross join lateral (
            select
                action_type,
                old_item.value as old_value,
                new_item.value as new_value
            from (
                select
                    item ->> 'action_type' as action_type,
                    string_agg(item ->> 'value', '+' order by item ->> 'value') as value
                from jsonb_array_elements(lists.old_items) as item
                where item ->> 'action_type' is not null
                group by 1
            ) as old_item
            full join (
                select
                    item ->> 'action_type' as action_type,
                    string_agg(item ->> 'value', '+' order by item ->> 'value') as value
                from jsonb_array_elements(lists.new_items) as item
                where item ->> 'action_type' is not null
                group by 1
            ) as new_item using (action_type)
            where old_item.value is distinct from new_item.value
        ) as items
    ) as m
-- A day that is still running grows with every pull: only its last state is of interest.
where %(pulled_at)s >= (d.event_date + 1)::timestamp at time zone %(timezone)s
