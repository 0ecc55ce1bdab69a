-- Each action type of an account-day as its ads report it together, and as the account does.
with items as (
    {% for field in ['actions', 'action_values'] %}
        select
            rows.account_id,
            rows.event_date,
            '{{ field }}' as source_field,
            item.action_type,
            item.value as ads_value,
            null::numeric as account_value
        from {{ ref('stg_meta__insights_daily') }} as rows
        cross join
            lateral jsonb_to_recordset(rows.{{ field }}) as item (action_type text, value numeric)
        union all
        select
            rows.account_id,
            rows.event_date,
            '{{ field }}' as source_field,
            item.action_type,
            null::numeric as ads_value,
            item.value as account_value
        from {{ ref('stg_meta__account_totals') }} as rows
        cross join
            lateral jsonb_to_recordset(rows.{{ field }}) as item (action_type text, value numeric)
        {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    account_id,
    event_date,
    source_field,
    action_type,
    sum(ads_value) as ads_total,
    sum(account_value) as account_total
from items
group by account_id, event_date, source_field, action_type
