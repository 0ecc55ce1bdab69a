{{ config(materialized='view') }}

-- An estimate, in a relation of its own: Meta knows conversions by the day only. The day's value is
-- spread over the hours with delivery; each hour gets the difference of two rounded running totals,
-- so that the hours sum to the day exactly, whatever was rounded. Windows, not a join of days with
-- hours: one pass, whatever the planner thinks of the dates that are asked for.
{%- set measures = ['purchases', 'revenue', 'leads', 'conversions'] %}

with facts as (
    select
        metric_facts.*,
        {% for measure in measures -%}
            max({{ measure }}) filter (where grain = 'day') over day as day_{{ measure }},
        {% endfor -%}
        max(pulled_at) filter (where grain = 'day') over day as day_pulled_at,
        count(*) filter (where grain <> 'day') over day as hours,
        sum(link_clicks) filter (where grain <> 'day') over day as day_link_clicks,
        sum(clicks) filter (where grain <> 'day') over day as day_clicks,
        sum(impressions) filter (where grain <> 'day') over day as day_impressions
    from {{ ref('metric_facts') }} as metric_facts
    window day as (partition by event_date, account_id, entity_id)
),

weighted as (
    select
        facts.*,
        case
            when hours = 0 then 'none'
            when day_link_clicks > 0 then 'link_clicks'
            when day_clicks > 0 then 'clicks'
            when day_impressions > 0 then 'impressions'
            else 'hours'
        end as basis,
        case
            when hours = 0 then 1
            when day_link_clicks > 0 then coalesce(link_clicks, 0)
            when day_clicks > 0 then coalesce(clicks, 0)
            when day_impressions > 0 then coalesce(impressions, 0)
            else 1
        end::numeric as weight
    from facts
    where
        (grain <> 'day' or hours = 0)
        and num_nonnulls(day_purchases, day_revenue, day_leads, day_conversions) > 0
),

running as (
    select
        weighted.*,
        sum(weight) over (partition by event_date, account_id, entity_id) as total_weight,
        sum(weight) over (
            partition by event_date, account_id, entity_id
            order by event_at
            rows unbounded preceding
        ) as running_weight
    from weighted
)

select
    natural_key,
    workspace_id,
    provider,
    account_id,
    level,
    external_entity_id,
    entity_id,
    campaign_id,
    adset_id,
    ad_id,
    event_date,
    case when hours > 0 then event_at end as event_at,
    event_hour,
    timezone,
    currency,
    goal,
    basis as allocation_basis,
    case when hours > 0 then round(weight / total_weight, 6) end as allocation_share,
    {% for measure in measures -%}
        {{ allocated('day_' ~ measure) }} as {{ measure }}_allocated,
    {% endfor -%}
    case when hours = 0 then 'no_hour_with_delivery' end as unallocated_reason,
    'known_by_day_only' as hourly_null_reason,
    is_settled,
    day_pulled_at as pulled_at
from running
