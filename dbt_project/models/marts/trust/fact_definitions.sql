{{ config(materialized='view') }}

select
    daily.workspace_id,
    daily.account_id,
    daily.event_date,
    built.definition,
    '{{ definition() }}' as current_definition,
    coalesce(goals.goals, '') <> coalesce(built.goals, '') as has_another_goal,
    coalesce(built.definition = '{{ definition() }}', false)
    and coalesce(goals.goals, '') = coalesce(built.goals, '') as is_current
from {{ ref('account_daily') }} as daily
left join {{ ref('int_meta__built_definitions') }} as built
    on daily.account_id = built.account_id and daily.event_date = built.event_date
left join {{ ref('int_meta__day_goals') }} as goals
    on daily.account_id = goals.account_id and daily.event_date = goals.event_date
where daily.provider = 'meta'
