-- The goal of an ad set: its promoted event's where the campaign's objective is ambiguous, else
-- the objective's.
select
    adsets.adset_id,
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
