{{ config(meta={'dagster': {'ref': {'name': 'int_meta__conversions'}}}) }}
-- depends_on: {{ ref('int_meta__conversions') }}

-- Before the facts: conversions of a goal add up only where each is a count of its own.
with listed as (
    select
        goals.goal,
        goals.conversion,
        actions.action_type,
        actions.source_field
    from {{ ref('goal_conversions') }} as goals
    left join {{ ref('conversion_actions') }} as actions
        on goals.conversion = actions.conversion
)

select distinct
    goal,
    conversion,
    'is no conversion of seed conversion_actions' as problem
from listed
where action_type is null and conversion !~ '^custom(_event)?:.'
union all
select distinct
    one.goal,
    one.conversion,
    'is an amount, which does not add up with a count' as problem
from listed as one
inner join listed as another on one.goal = another.goal and one.conversion <> another.conversion
where one.source_field in ('action_values', 'conversion_values')
union all
select distinct
    one.goal,
    one.conversion,
    'counts what ' || another.conversion || ' counts' as problem
from listed as one
inner join listed as another on one.goal = another.goal and one.conversion < another.conversion
where
    (one.action_type = another.action_type and one.source_field = another.source_field)
    or exists (
        select 1
        from {{ ref('conversion_overlaps') }} as shared
        where
            (one.conversion, another.conversion) in (
                (shared.conversion, shared.other_conversion),
                (shared.other_conversion, shared.conversion)
            )
    )
