{#- A rollup of metric_facts by account, or by one of its entities, and date or hour: the whole model.
    `parents` are the entity's own campaign and ad set. `has_goal`: the entity has one goal. -#}
{% macro rollup(entity=none, parents=[], is_hourly=false, has_goal=false) -%}
{%- set identity = ['account_id', entity] if entity else ['account_id'] -%}
{%- set time = ['event_date', 'event_hour'] if is_hourly else ['event_date'] -%}
{%- set key = ['provider'] + identity + time -%}
{{ config(
    unique_key=key,
    indexes=[
        {'columns': key, 'unique': true},
        {'columns': ['event_date', 'account_id'] if entity else ['event_date']}
    ] + ([{'columns': [entity, 'event_date']}] if entity else []),
    post_hook='{{ analyze_after_bulk() }}'
) }}

with reconciled as materialized (
    select
        agreed.account_id,
        agreed.event_date
    from {{ ref('int_meta__agreed_account_days') }} as agreed
    where agreed.is_reconciled and {{ in_window('agreed.event_date') }}
),

summed as (
    select
        workspace_id,
        {{ key | join(',\n        ') }},
        {% for parent in parents -%}
            max({{ parent }}) as {{ parent }},
        {% endfor -%}
        {% if is_hourly -%}
            min({{ hour_start('grain', 'event_at', 'timezone') }}) as event_at,
        {% endif -%}
        max(timezone) as timezone,
        max(currency) as currency,
        {{ 'max(goal) as goal,' if has_goal }}
        {{ summed_measures() }},
        bool_and(is_settled) as is_settled,
        max(pulled_at) as pulled_at
    from {{ ref('metric_facts') }}
    where
        {{ in_window('event_date') }}
        {{ 'and event_hour is not null' if is_hourly }}
        {{ 'and ' ~ entity ~ ' is not null' if entity }}
    group by workspace_id, {{ key | join(', ') }}
)

select
    workspace_id,
    provider,
    account_id,
    {% for name in parents + identity[1:] + time -%}
        {{ name }},
    {% endfor -%}
    {{ 'event_at,' if is_hourly }}
    timezone,
    currency,
    {{ 'goal,' if has_goal }}
    spend,
    impressions,
    clicks,
    link_clicks,
    purchases,
    revenue,
    leads,
    conversions,
    {{ derived_measures() }},
    is_settled,
    case
        when provider = 'meta'
            then
                (account_id, event_date) in (
                    select
                        reconciled.account_id,
                        reconciled.event_date
                    from reconciled
                )
    end as is_reconciled,
    pulled_at
from summed
{%- endmacro %}
