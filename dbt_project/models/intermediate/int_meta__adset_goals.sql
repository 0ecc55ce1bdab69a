{{ config(meta={'defines_facts': true}) }}

-- The goal of an ad set: its promoted event's where the campaign's objective is ambiguous, else the
-- objective's. What counts for it: its promoted custom conversion, else its promoted event where
-- seed promoted_event_conversions has it, else all that goal_conversions lists for the goal.
with adsets as (
    select
        adsets.adset_id,
        adsets.promoted_custom_conversion_id,
        adsets.custom_event_name,
        adsets.custom_event_type,
        coalesce(
            events.goal,
            goals.goal,
            case when campaigns.objective is not null then 'other' end
        ) as goal
    from {{ ref('stg_meta__adsets') }} as adsets
    inner join {{ ref('stg_meta__campaigns') }} as campaigns
        on adsets.campaign_id = campaigns.campaign_id
    left join {{ ref('objective_goals') }} as goals
        on campaigns.objective = goals.objective
    left join {{ ref('promoted_event_goals') }} as events
        on
            campaigns.objective = events.objective
            and adsets.custom_event_type = events.custom_event_type
),

listed as (
    select
        goal,
        array_agg(conversion order by conversion) as conversions
    from {{ ref('goal_conversions') }}
    group by goal
)

select
    adsets.adset_id,
    adsets.goal,
    case
        when adsets.promoted_custom_conversion_id is not null
            then array['custom:' || adsets.promoted_custom_conversion_id]
        when adsets.custom_event_name is not null
            then array['custom_event:' || adsets.custom_event_name]
        when events.conversion is not null then array[events.conversion]
        else listed.conversions
    end as conversions
from adsets
left join {{ ref('promoted_event_conversions') }} as events
    on adsets.custom_event_type = events.custom_event_type
left join listed on adsets.goal = listed.goal
