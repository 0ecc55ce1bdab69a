{{ config(
    materialized='incremental',
    incremental_strategy='replace_window',
    on_schema_change='append_new_columns',
    unique_key=['account_id', 'event_date', 'measure', 'lag_days'],
    indexes=[
        {'columns': ['account_id', 'event_date', 'measure', 'lag_days'], 'unique': true},
        {'columns': ['event_date']}
    ],
    post_hook='{{ analyze_after_bulk() }}'
) }}

{%- set delivery = ['spend', 'impressions', 'clicks', 'link_clicks'] -%}
{%- set conversions = ['purchases', 'revenue', 'leads'] -%}

-- What a date held after n days is what it holds now without what changed later. All of it is read
-- from the ads' days: hours and account totals would count the same change again.
with accounts as (
    select
        account_id,
        timezone
    from {{ ref('stg_meta__ad_accounts') }}
),

pulled_ages as (
    select distinct
        loads.account_id,
        loads.event_date,
        (loads.pulled_at at time zone accounts.timezone)::date - loads.event_date as lag_days
    from {{ ref('stg_meta__slice_loads') }} as loads
    inner join accounts on loads.account_id = accounts.account_id
    where loads.asset = 'insights_daily' and {{ in_window('loads.event_date') }}
),

last_ages as (
    select
        account_id,
        event_date,
        max(lag_days) as last_lag_days
    from pulled_ages
    group by account_id, event_date
),

changes as (
    select
        changes.account_id,
        changes.event_date,
        changes.external_entity_id as ad_id,
        changes.measure,
        changes.detected_at,
        (changes.detected_at at time zone accounts.timezone)::date
        - changes.event_date as lag_days,
        {{ number_or_null('changes.old_value') }} as old_value,
        {{ number_or_null('changes.new_value') }} as new_value
    from {{ ref('stg_meta__insights_changes') }} as changes
    inner join accounts on changes.account_id = accounts.account_id
    where changes.asset = 'insights_daily' and {{ in_window('changes.event_date') }}
),

-- Conversions are chosen from overlapping action types: what was chosen before each moment of
-- change is found from what every type of the list was then.
typed_changes as (
    select
        changes.*,
        priorities.conversion,
        priorities.priority
    from changes
    inner join {{ ref('conversion_actions') }} as priorities
        on changes.measure = priorities.source_field || ':' || priorities.action_type
),

moments as (
    select distinct
        account_id,
        event_date,
        ad_id,
        conversion,
        detected_at,
        lag_days
    from typed_changes
),

changed_ads as (
    select distinct
        event_date,
        ad_id
    from moments
),

types_now as (
    {% for field in ['actions', 'action_values', 'conversions', 'conversion_values'] %}
        select
            daily.event_date,
            daily.ad_id,
            '{{ field }}' as source_field,
            item.action_type,
            sum(item.value) as value
        from {{ ref('stg_meta__insights_daily') }} as daily
        inner join changed_ads
            on daily.event_date = changed_ads.event_date and daily.ad_id = changed_ads.ad_id
        cross join
            lateral jsonb_to_recordset(daily.{{ field }}) as item (action_type text, value numeric)
        where {{ in_window('daily.event_date') }} and item.value is not null
        group by daily.event_date, daily.ad_id, item.action_type
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

types_before as (
    select
        moments.account_id,
        moments.event_date,
        moments.ad_id,
        moments.conversion,
        moments.detected_at,
        moments.lag_days,
        priorities.priority,
        priorities.source_field,
        priorities.action_type,
        count(typed.measure) over ahead as changes_ahead,
        -- The first change from this moment on says what the type was until then.
        (array_agg(typed.old_value) filter (where typed.measure is not null) over ahead)[1]
            as next_old_value
    from moments
    inner join {{ ref('conversion_actions') }} as priorities
        on moments.conversion = priorities.conversion
    left join typed_changes as typed
        on
            moments.event_date = typed.event_date
            and moments.ad_id = typed.ad_id
            and moments.conversion = typed.conversion
            and moments.detected_at = typed.detected_at
            and priorities.priority = typed.priority
    window
        ahead as (
            partition by
                moments.event_date, moments.ad_id, moments.conversion, priorities.priority
            order by moments.detected_at
            rows between current row and unbounded following
        )
),

chosen_before as (
    select
        before.account_id,
        before.event_date,
        before.ad_id,
        before.conversion,
        before.detected_at,
        before.lag_days,
        (
            array_agg(
                case
                    when before.changes_ahead > 0 then before.next_old_value else types_now.value
                end
                order by before.priority
            ) filter (
                where
                case
                    when before.changes_ahead > 0 then before.next_old_value else types_now.value
                end is not null
            )
        )[1] as value
    from types_before as before
    left join types_now
        on
            before.event_date = types_now.event_date
            and before.ad_id = types_now.ad_id
            and before.source_field = types_now.source_field
            and before.action_type = types_now.action_type
    group by
        before.account_id,
        before.event_date,
        before.ad_id,
        before.conversion,
        before.detected_at,
        before.lag_days
),

ad_conversions as (
    select
        account_id,
        event_date,
        external_entity_id as ad_id,
        conversion,
        value
    from {{ ref('int_meta__conversions') }}
    where level = 'ad' and {{ in_window('event_date') }}
),

conversion_changes as (
    select
        before.account_id,
        before.event_date,
        before.ad_id,
        before.conversion,
        before.lag_days,
        lead(coalesce(before.value, 0), 1, coalesce(ad_conversions.value, 0)) over (
            partition by before.event_date, before.ad_id, before.conversion
            order by before.detected_at
        ) - coalesce(before.value, 0) as change
    from chosen_before as before
    left join ad_conversions
        on
            before.event_date = ad_conversions.event_date
            and before.ad_id = ad_conversions.ad_id
            and before.conversion = ad_conversions.conversion
),

-- The conversion that an ad is after, by its goal: the measure `conversions` of the facts.
wanted as (
    select
        ads.ad_id,
        unnest(coalesce(adset_goals.conversions, campaign_goals.conversions)) as conversion
    from {{ ref('stg_meta__ads') }} as ads
    left join {{ ref('int_meta__adset_goals') }} as adset_goals
        on ads.adset_id = adset_goals.adset_id
    left join {{ ref('int_meta__campaign_goals') }} as campaign_goals
        on ads.campaign_id = campaign_goals.campaign_id
),

finals as (
    {% for measure in delivery %}
        select
            account_id,
            event_date,
            '{{ measure }}' as measure,
            sum({{ measure }})::numeric as final_value
        from {{ ref('stg_meta__insights_daily') }}
        where {{ measure }} is not null and {{ in_window('event_date') }}
        group by account_id, event_date
        union all
    {% endfor %}
    select
        account_id,
        event_date,
        conversion as measure,
        sum(value) as final_value
    from ad_conversions
    where conversion in ({{ text_list(conversions) }})
    group by account_id, event_date, conversion
    union all
    select
        ad_conversions.account_id,
        ad_conversions.event_date,
        'conversions' as measure,
        sum(ad_conversions.value) as final_value
    from ad_conversions
    inner join wanted
        on
            ad_conversions.ad_id = wanted.ad_id
            and ad_conversions.conversion = wanted.conversion
    group by ad_conversions.account_id, ad_conversions.event_date
),

measure_changes as (
    select
        account_id,
        event_date,
        measure,
        lag_days,
        sum(coalesce(new_value, 0) - coalesce(old_value, 0)) as change
    from changes
    where measure in ({{ text_list(delivery) }})
    group by account_id, event_date, measure, lag_days
    union all
    select
        account_id,
        event_date,
        conversion as measure,
        lag_days,
        sum(change) as change
    from conversion_changes
    where conversion in ({{ text_list(conversions) }})
    group by account_id, event_date, conversion, lag_days
    union all
    select
        conversion_changes.account_id,
        conversion_changes.event_date,
        'conversions' as measure,
        conversion_changes.lag_days,
        sum(conversion_changes.change) as change
    from conversion_changes
    inner join wanted
        on
            conversion_changes.ad_id = wanted.ad_id
            and conversion_changes.conversion = wanted.conversion
    group by
        conversion_changes.account_id,
        conversion_changes.event_date,
        conversion_changes.lag_days
),

-- A measure that a date has now, or had once.
measured as (
    select
        account_id,
        event_date,
        measure
    from finals
    union
    select
        account_id,
        event_date,
        measure
    from measure_changes
)

select
    measured.account_id,
    measured.event_date,
    measured.measure,
    pulled_ages.lag_days,
    coalesce(finals.final_value, 0) - coalesce(
        sum(later.change) filter (where later.lag_days > pulled_ages.lag_days), 0
    ) as value,
    coalesce(finals.final_value, 0) as final_value,
    last_ages.last_lag_days
from measured
inner join pulled_ages
    on
        measured.account_id = pulled_ages.account_id
        and measured.event_date = pulled_ages.event_date
inner join last_ages
    on
        measured.account_id = last_ages.account_id
        and measured.event_date = last_ages.event_date
left join finals
    on
        measured.account_id = finals.account_id
        and measured.event_date = finals.event_date
        and measured.measure = finals.measure
left join measure_changes as later
    on
        measured.account_id = later.account_id
        and measured.event_date = later.event_date
        and measured.measure = later.measure
where pulled_ages.lag_days between 0 and {{ var('settled_after_days') }}
group by
    measured.account_id,
    measured.event_date,
    measured.measure,
    pulled_ages.lag_days,
    finals.final_value,
    last_ages.last_lag_days
