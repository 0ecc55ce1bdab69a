{{ config(
    materialized='incremental',
    incremental_strategy='replace_window',
    on_schema_change='append_new_columns',
    meta={'defines_facts': true},
    unique_key=['event_date', 'level', 'external_entity_id', 'conversion'],
    indexes=[
        {'columns': ['event_date', 'level', 'external_entity_id', 'conversion'], 'unique': true}
    ],
    pre_hook='{{ hash_joins_only() }}',
    post_hook='{{ analyze_after_bulk() }}'
) }}

-- Windows of a conversion are those of the action type that was chosen for it.
-- Counts and values are exploded side by side and never joined: a value that came without its
-- count is kept.
with reports as (
    {% for level, model, asset, entity in [
        ('ad', 'stg_meta__insights_daily', 'insights_daily', 'ad_id'),
        ('account', 'stg_meta__account_totals', 'account_totals', 'account_id'),
    ] %}
        {% for field in ['actions', 'action_values', 'conversions', 'conversion_values'] %}
            select
                '{{ level }}' as level,
                rows.account_id,
                rows.{{ entity }} as external_entity_id,
                rows.event_date,
                '{{ field }}' as source_field,
                rows.{{ field }} as items,
                pulls.attribution_windows as windows_asked
            from {{ ref(model) }} as rows
            left join {{ ref('stg_meta__slices') }} as pulls
                on
                    rows.account_id = pulls.account_id
                    and rows.event_date = pulls.event_date
                    and pulls.asset = '{{ asset }}'
            where {{ in_window('rows.event_date') }} and rows.{{ field }} is not null
            {{ 'union all' if not loop.last }}
        {% endfor %}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

reported as (
    select
        reports.level,
        reports.account_id,
        reports.external_entity_id,
        reports.event_date,
        reports.source_field,
        item.action_type,
        -- Counted in a window only: nothing under the ad set's own setting.
        coalesce(sum(item.value), 0) as value,
        {{ summed_windows('item', 'reports.windows_asked') }}
    from reports
    cross join
        lateral jsonb_to_recordset(reports.items) as item (
            action_type text,
            {% for window in attribution_window_names() -%}
                "{{ window }}" numeric,
            {% endfor -%}
            value numeric
        )
    where
        coalesce(
            {% for window in attribution_window_names() -%}
                item."{{ window }}",
            {% endfor -%}
            item.value
        ) is not null
    group by
        reports.level,
        reports.account_id,
        reports.external_entity_id,
        reports.event_date,
        reports.source_field,
        reports.windows_asked,
        item.action_type
),

-- Action types overlap: the first present one of a conversion's list counts, never their sum.
standard as (
    select distinct on (
        reported.level, reported.event_date, reported.external_entity_id, priorities.conversion
    )
        reported.event_date,
        reported.level,
        reported.account_id,
        reported.external_entity_id,
        priorities.conversion,
        reported.source_field,
        reported.action_type,
        reported.value,
        {{ window_columns('reported') }},
        count(*) over conversion as types_present,
        min(reported.value) over conversion as lowest_value,
        max(reported.value) over conversion as highest_value
    from reported
    inner join {{ ref('conversion_actions') }} as priorities
        on
            reported.action_type = priorities.action_type
            and reported.source_field = priorities.source_field
    window
        conversion as (
            partition by
                reported.level,
                reported.event_date,
                reported.external_entity_id,
                priorities.conversion
        )
    order by
        reported.level,
        reported.event_date,
        reported.external_entity_id,
        priorities.conversion,
        priorities.priority
),

-- Custom conversions by their id are in actions, custom events by their name in conversions.
custom as (
    select
        event_date,
        level,
        account_id,
        external_entity_id,
        case
            when action_type like 'offsite\_conversion.custom.%' then 'custom'
            else 'custom_event'
        end
        || case when source_field in ('actions', 'conversions') then ':' else '_value:' end
        || regexp_replace(action_type, '^offsite_conversion\.(custom|fb_pixel_custom)\.', '')
            as conversion,
        source_field,
        action_type,
        value,
        {{ window_columns('reported') }}
    from reported
    where
        (
            action_type like 'offsite\_conversion.custom.%'
            and source_field in ('actions', 'action_values')
        )
        or (
            action_type like 'offsite\_conversion.fb\_pixel\_custom.%'
            and source_field in ('conversions', 'conversion_values')
        )
)

select
    event_date,
    level,
    account_id,
    external_entity_id,
    conversion,
    source_field,
    action_type,
    value,
    {{ window_columns('standard') }},
    types_present,
    lowest_value,
    highest_value
from standard
union all
select
    event_date,
    level,
    account_id,
    external_entity_id,
    conversion,
    source_field,
    action_type,
    value,
    {{ window_columns('custom') }},
    1 as types_present,
    value as lowest_value,
    value as highest_value
from custom
