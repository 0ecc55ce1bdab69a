{{ config(meta={'defines_facts': true}) }}

-- Meta's objective, legacy or outcome-driven, as one goal. An ambiguous legacy objective
-- (CONVERSIONS) gets the goal of its ad sets where they agree.
with campaigns as (
    select
        campaigns.campaign_id,
        campaigns.objective,
        case when campaigns.objective is not null then coalesce(goals.goal, 'other') end as goal
    from {{ ref('stg_meta__campaigns') }} as campaigns
    left join {{ ref('objective_goals') }} as goals on campaigns.objective = goals.objective
),

promoted as (
    select
        adsets.campaign_id,
        min(coalesce(events.goal, campaigns.goal)) as goal,
        count(distinct coalesce(events.goal, campaigns.goal)) as goals
    from {{ ref('stg_meta__adsets') }} as adsets
    inner join campaigns on adsets.campaign_id = campaigns.campaign_id
    left join {{ ref('promoted_event_goals') }} as events
        on
            campaigns.objective = events.objective
            and adsets.custom_event_type = events.custom_event_type
    where
        campaigns.objective in (
            select ambiguous.objective
            from {{ ref('promoted_event_goals') }} as ambiguous
        )
    group by adsets.campaign_id
),

goals as (
    select
        campaigns.campaign_id,
        case when promoted.goals = 1 then promoted.goal else campaigns.goal end as goal
    from campaigns
    left join promoted on campaigns.campaign_id = promoted.campaign_id
)

select
    goals.campaign_id,
    goals.goal,
    (
        select array_agg(listed.conversion order by listed.conversion)
        from {{ ref('goal_conversions') }} as listed
        where listed.goal = goals.goal
    ) as conversions
from goals
