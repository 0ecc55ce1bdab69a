{{ config(
    materialized='incremental',
    incremental_strategy='replace_window',
    on_schema_change='append_new_columns',
    contract={'enforced': true},
    pre_hook='{{ hash_joins_only() }}',
    unique_key=['level', 'external_entity_id', 'event_date', 'period'],
    meta={'kept_rows': waits_for_agreement("'spend'"), 'ahead_days': judged_ahead()},
    indexes=[
        {'columns': ['level', 'external_entity_id', 'event_date', 'period'], 'unique': true},
        {'columns': ['event_date']}
    ]
) }}

{%- set limits = var('budget_limits') -%}
{%- set levels = [('campaign', 'campaign_daily'), ('adset', 'adset_daily')] %}

-- Budgets are on campaigns or on their ad sets: each is compared where it is.
with budgeted as (
    select
        level,
        external_entity_id,
        daily_budget,
        lifetime_budget,
        valid_from,
        coalesce(valid_to, 'infinity') as valid_to
    from {{ ref('entity_history') }}
    where level in ('campaign', 'adset')
),

-- The week before the window: a week ends with its Saturday.
spent as materialized (
    {% for level, rollup in levels %}
        select
            '{{ level }}' as level,
            daily.account_id,
            daily.{{ level }}_id as external_entity_id,
            daily.event_date,
            daily.event_date::timestamp at time zone daily.timezone as starts_at,
            (daily.event_date + 1)::timestamp at time zone daily.timezone as ends_at,
            daily.spend
        from {{ ref(rollup) }} as daily
        where
            daily.provider = 'meta'
            and daily.spend > 0
            and {{ in_window('daily.event_date', 6, judged_ahead()) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

-- The highest budget of the day. A change is dated by the pull that saw it, at most a day late: so
-- what is valid on the next day counts as well. Every version must name a budget.
budgets as (
    select
        spent.level,
        spent.account_id,
        spent.external_entity_id,
        spent.event_date,
        spent.starts_at,
        spent.ends_at,
        spent.spend,
        case
            when
                count(*) = count(budgeted.daily_budget)
                and min(budgeted.valid_from) <= spent.starts_at
                then max(budgeted.daily_budget)
        end as daily_budget,
        case
            when count(*) = count(budgeted.lifetime_budget) then max(budgeted.lifetime_budget)
        end as lifetime_budget
    from spent
    inner join budgeted
        on
            spent.level = budgeted.level
            and spent.external_entity_id = budgeted.external_entity_id
            and spent.starts_at + interval '2 days' > budgeted.valid_from
            and spent.starts_at < budgeted.valid_to
    group by
        spent.level,
        spent.account_id,
        spent.external_entity_id,
        spent.event_date,
        spent.starts_at,
        spent.ends_at,
        spent.spend
),

weeks as (
    select
        level,
        account_id,
        external_entity_id,
        event_date,
        week_starts_at as starts_at,
        ends_at,
        week_spend as spend,
        week_budget as daily_budget
    from (
        select
            budgets.*,
            min(starts_at) over week as week_starts_at,
            sum(spend) over week as week_spend,
            avg(daily_budget) over week as week_budget,
            count(daily_budget) over week as days_with_budget
        from budgets
        window
            week as (
                partition by level, account_id, external_entity_id
                order by event_date
                range between interval '6 days' preceding and current row
            )
    ) as days
    -- Without the budget of each day the week's allowance is unknown.
    where extract(isodow from event_date) = 6 and days_with_budget = 7
),

lifetimes as (
    {% for level, rollup in levels %}
        select
            budgets.level,
            budgets.account_id,
            budgets.external_entity_id,
            budgets.event_date,
            budgets.starts_at,
            budgets.ends_at,
            budgets.spend as spend_of_day,
            total.spend,
            budgets.lifetime_budget
        from budgets
        -- Of the entities in question one look at all that they ever spent, not one for each date.
        inner join (
            select
                daily.{{ level }}_id as external_entity_id,
                daily.event_date,
                sum(daily.spend) over (
                    partition by daily.{{ level }}_id
                    order by daily.event_date
                ) as spend
            from {{ ref(rollup) }} as daily
            where
                daily.provider = 'meta'
                and (daily.account_id, daily.{{ level }}_id) in (
                    select
                        limited.account_id,
                        limited.external_entity_id
                    from budgets as limited
                    where
                        limited.level = '{{ level }}'
                        and limited.lifetime_budget is not null
                        and {{ in_window('limited.event_date', 0, judged_ahead()) }}
                )
        ) as total
            on
                budgets.external_entity_id = total.external_entity_id
                and budgets.event_date = total.event_date
        where
            budgets.level = '{{ level }}'
            and budgets.lifetime_budget is not null
            and {{ in_window('budgets.event_date', 0, judged_ahead()) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

compared as (
    {% for period, relation, budget in [
        ('day', 'budgets', 'daily_budget'),
        ('week', 'weeks', 'daily_budget'),
        ('lifetime', 'lifetimes', 'lifetime_budget'),
    ] %}
        select
            level,
            account_id,
            external_entity_id,
            event_date,
            starts_at,
            ends_at,
            '{{ period }}' as period,
            spend,
            {{ budget }} as budget,
            {{ budget }} * {{ limits[period] }} as allowed,
            {{ 'spend_of_day' if period == 'lifetime' else 'spend' }} as spend_of_period
        from {{ relation }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    compared.level,
    compared.account_id,
    compared.external_entity_id,
    compared.event_date,
    compared.starts_at,
    compared.ends_at,
    compared.period,
    compared.spend as value,
    round(compared.budget, 6) as budget,
    round(compared.allowed, 6) as allowed,
    round(ln(compared.spend / compared.allowed), 4) as log_ratio
from compared
inner join {{ ref('int_meta__agreed_account_days') }} as agreed
    on compared.account_id = agreed.account_id and compared.event_date = agreed.event_date
-- A running day's budget may still be raised: only days that were over when they were pulled.
inner join {{ ref('stg_meta__slices') }} as slices
    on
        compared.account_id = slices.account_id
        and compared.event_date = slices.event_date
        and compared.ends_at <= slices.pulled_at
        and slices.asset = 'insights_hourly'
where
    {{ in_window('compared.event_date', 0, judged_ahead()) }}
    and {{ in_window('agreed.event_date', 0, judged_ahead()) }}
    and not {{ is_held_in_part("'spend'") }}
    and {{ in_window('slices.event_date', 0, judged_ahead()) }}
    and compared.spend > compared.allowed
    -- A lifetime budget is exceeded once, on the day that did it.
    and (
        compared.period <> 'lifetime'
        or compared.spend - compared.spend_of_period <= compared.allowed
    )
