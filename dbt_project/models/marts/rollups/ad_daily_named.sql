{{ config(materialized='view') }}
{%- set levels = ['campaign', 'adset', 'ad'] %}

-- As of a date is as of its end where the account is. A date before the first known document has
-- the first known name, and says so.
select
    facts.workspace_id,
    facts.provider,
    facts.account_id,
    accounts.name as account_name,
    {% for level in levels -%}
        facts.{{ level }}_id,
        {{ level }}s.name as {{ level }}_name,
        {{ level }}_then.name as {{ level }}_name_then,
    {% endfor -%}
    {{ range_starts(levels) }} < day.ended_at as is_name_then_known,
    facts.event_date,
    facts.timezone,
    facts.currency,
    facts.goal,
    facts.spend,
    facts.impressions,
    facts.clicks,
    facts.link_clicks,
    facts.purchases,
    facts.revenue,
    facts.leads,
    facts.conversions,
    facts.is_settled,
    facts.pulled_at
from {{ ref('ad_daily') }} as facts
cross join
    lateral (
        select (facts.event_date + 1)::timestamp at time zone facts.timezone as ended_at
    ) as day
left join {{ ref('dim_ad_accounts') }} as accounts on facts.account_id = accounts.account_id
{% for level in levels -%}
    left join {{ ref('dim_' ~ level ~ 's') }} as {{ level }}s
        on facts.provider = 'meta' and facts.{{ level }}_id = {{ level }}s.{{ level }}_id
    left join
        lateral (
            select
                history.name,
                history.valid_from
            from {{ ref('entity_history') }} as history
            where
                facts.provider = 'meta'
                and history.level = '{{ level }}'
                and history.external_entity_id = facts.{{ level }}_id
                and (history.valid_to is null or history.valid_to >= day.ended_at)
            order by history.valid_from
            limit 1
        ) as {{ level }}_then
        on true
{% endfor %}
