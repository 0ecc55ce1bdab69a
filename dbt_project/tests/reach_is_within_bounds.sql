{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'reach'}}}) }}

-- Whoever is reached in a part is reached in the whole, and counted once there: the whole is at
-- least the largest part and at most all parts together. Meta estimates, and restates parts after
-- the whole was pulled: 2 % and 2 people are let pass.
with wholes as (
    select
        account_id,
        level,
        external_entity_id,
        period,
        period_start,
        period_end,
        event_date,
        reach,
        frequency,
        impressions
    from {{ ref('reach') }}
    where {{ dates_in_window('event_date') }}
),

-- Days are missing where they were not pulled: then the parts are not all there.
days as (
    select
        wholes.level,
        wholes.external_entity_id,
        wholes.period,
        wholes.event_date,
        max(days.reach) as largest,
        sum(days.reach::bigint) as together,
        sum(days.impressions) as impressions
    from wholes
    inner join {{ ref('reach') }} as days
        on
            wholes.level = days.level
            and wholes.external_entity_id = days.external_entity_id
            and days.period = 'day'
            and days.event_date between wholes.period_start and wholes.period_end
    where wholes.period <> 'day'
    group by wholes.level, wholes.external_entity_id, wholes.period, wholes.event_date
),

children as (
    select
        'account' as parent_level,
        account_id as parent_id,
        level,
        period,
        event_date,
        reach,
        impressions
    from wholes
    where level <> 'account'
    union all
    select
        'campaign' as parent_level,
        adsets.campaign_id as parent_id,
        wholes.level,
        wholes.period,
        wholes.event_date,
        wholes.reach,
        wholes.impressions
    from wholes
    inner join {{ ref('dim_adsets') }} as adsets on wholes.external_entity_id = adsets.adset_id
    where wholes.level = 'adset'
),

objects as (
    select
        parent_level,
        parent_id,
        level,
        period,
        event_date,
        max(reach) as largest,
        sum(reach::bigint) as together,
        sum(impressions) as impressions
    from children
    group by parent_level, parent_id, level, period, event_date
),

parts as (
    select
        wholes.*,
        'days' as part,
        days.largest,
        days.together,
        days.impressions as impressions_of_parts
    from wholes
    inner join days
        on
            wholes.level = days.level
            and wholes.external_entity_id = days.external_entity_id
            and wholes.period = days.period
            and wholes.event_date = days.event_date
    union all
    select
        wholes.*,
        objects.level || 's' as part,
        objects.largest,
        objects.together,
        objects.impressions as impressions_of_parts
    from wholes
    inner join objects
        on
            wholes.level = objects.parent_level
            and wholes.external_entity_id = objects.parent_id
            and wholes.period = objects.period
            and wholes.event_date = objects.event_date
)

select
    level,
    external_entity_id,
    period,
    event_date,
    part || ' reach more people than the whole' as problem
from parts
where largest > reach * 1.02 + 2
union all
select
    level,
    external_entity_id,
    period,
    event_date,
    part || ' together reach fewer people than the whole' as problem
from parts
-- Parts of all its impressions are all its parts.
where impressions_of_parts >= impressions and together * 1.02 + 2 < reach
union all
select
    level,
    external_entity_id,
    period,
    event_date,
    'impressions are not reach times frequency' as problem
from wholes
where abs(reach * frequency - impressions) > 1 + impressions * 0.001
