-- Every row that is new, vanished or distinct, with the old and the new measures. The time of the
-- pull and the API version do not make a row distinct.
create temporary table slice_difference on commit drop as
select
    case
        when s.account_id is null then 'inserted'
        when i.is_incoming is null then 'deleted'
        else 'updated'
    end as change,
    {{ kept_columns }}
from (
    select * from {{ table }}
    where
        account_id = %(account)s
        and event_date = any(%(dates)s)
        and (
            not {{ has_periods }}
            or (event_date, {{ period }}) in (
                select * from unnest(%(period_ends)s::date[], %(periods)s::text[])
            )
        )
) as s
full join (
    select
        *,
        true as is_incoming
    from incoming_rows
) as i using ({{ key }})
where
    s.account_id is null
    or i.is_incoming is null
    or ({{ s_scalars }}, s.timezone, s.currency)
    is distinct from ({{ i_scalars }}, %(timezone)s, %(currency)s)
    or exists (
        select from unnest(array[{{ s_lists }}]::jsonb[], array[{{ i_lists }}]::jsonb[]) as lists (old, new)
        where
            lists.old is distinct from lists.new
            -- Meta's order of the items means nothing and changes between pulls.
            and case
                when jsonb_typeof(lists.old) = 'array'
                    then (select jsonb_agg(item order by item) from jsonb_array_elements(lists.old) as item)
                else lists.old
            end
            is distinct from case
                when jsonb_typeof(lists.new) = 'array'
                    then (select jsonb_agg(item order by item) from jsonb_array_elements(lists.new) as item)
                else lists.new
            end
    )
