-- A value that could not be had this time has not vanished: what is stored of it stays.
update incoming_rows as i
set ({{ metas_values }}) = ({{ kept_values }})
from {{ table }} as t
inner join (
    select
        object_id,
        array_agg(column_name) as columns
    from unnest(%(missing_objects)s::text[], %(missing_columns)s::text[]) as pairs (object_id, column_name)
    group by object_id
) as missing on {{ t_object }} = missing.object_id
where
    ({{ t_key }}) = ({{ i_key }})
    and t.account_id = %(account)s
    and t.event_date = any(%(dates)s)
