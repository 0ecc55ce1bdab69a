{{ config(materialized='view') }}

{%- set levels = [('campaign', 'campaign_daily'), ('adset', 'adset_daily')] %}

-- As of a date is as of its end where the account is. Budgets sit on campaigns or on their ad sets:
-- each is a row where it is.
{% for level, rollup in levels %}
    select
        dates.workspace_id,
        dates.account_id,
        '{{ level }}' as level,
        history.external_entity_id,
        dims.campaign_id,
        dims.name,
        dates.event_date,
        dates.currency,
        history.effective_status,
        history.daily_budget,
        history.lifetime_budget,
        coalesce(of_day.spend, 0) as spend,
        coalesce(to_date.spend, 0) as spend_to_date,
        coalesce(to_date.month_spend, 0) as spend_of_month,
        {{ ratio('coalesce(of_day.spend, 0)', 'history.daily_budget') }} as share_of_daily_budget,
        {{ ratio('coalesce(to_date.spend, 0)', 'history.lifetime_budget') }}
            as share_of_lifetime_budget,
        case
            when dims.ends_at is not null and history.lifetime_budget is not null
                then round(least(1, greatest(0, extract(
                    epoch from day.ended_at - coalesce(dims.starts_at, dims.created_at)
                ) / nullif(extract(
                    epoch from dims.ends_at - coalesce(dims.starts_at, dims.created_at)
                ), 0))), 6)
        end as share_of_schedule,
        dims.starts_at,
        dims.ends_at
    from {{ ref('account_daily') }} as dates
    cross join
        lateral (
            select (dates.event_date + 1)::timestamp at time zone dates.timezone as ended_at
        ) as day
    inner join {{ ref('entity_history') }} as history
        on
            dates.account_id = history.account_id
            and history.level = '{{ level }}'
            and day.ended_at > history.valid_from
            and day.ended_at <= coalesce(history.valid_to, 'infinity')
            and num_nonnulls(history.daily_budget, history.lifetime_budget) > 0
    inner join {{ ref('dim_' ~ level ~ 's') }} as dims
        on history.external_entity_id = dims.{{ level }}_id
    left join {{ ref(rollup) }} as of_day
        on
            of_day.provider = 'meta'
            and dates.account_id = of_day.account_id
            and history.external_entity_id = of_day.{{ level }}_id
            and dates.event_date = of_day.event_date
    left join
        lateral (
            select
                sum(earlier.spend) as spend,
                sum(earlier.spend) filter (
                    where earlier.event_date >= date_trunc('month', dates.event_date)
                ) as month_spend
            from {{ ref(rollup) }} as earlier
            where
                earlier.provider = 'meta'
                and earlier.account_id = dates.account_id
                and earlier.{{ level }}_id = history.external_entity_id
                and earlier.event_date <= dates.event_date
        ) as to_date
        on true
    where dates.provider = 'meta'
    {{ 'union all' if not loop.last }}
{% endfor %}
