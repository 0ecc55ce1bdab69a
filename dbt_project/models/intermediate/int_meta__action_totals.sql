-- Each action type of an account-day as its ads report it together, and as the account does.
with items as (
    {% for model, of_ads, of_account in [
        ('stg_meta__insights_daily', 'item.value', 'null::numeric'),
        ('stg_meta__account_totals', 'null::numeric', 'item.value'),
    ] %}
        select
            rows.account_id,
            rows.event_date,
            fields.source_field,
            item.action_type,
            {{ of_ads }} as ads_value,
            {{ of_account }} as account_value
        from {{ ref(model) }} as rows
        cross join
            lateral (
                values
                ('actions', rows.actions),
                ('action_values', rows.action_values),
                ('conversions', rows.conversions),
                ('conversion_values', rows.conversion_values)
            ) as fields (source_field, items)
        cross join
            lateral jsonb_to_recordset(fields.items) as item (action_type text, value numeric)
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
