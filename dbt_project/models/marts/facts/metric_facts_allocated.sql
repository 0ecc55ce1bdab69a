{{ config(materialized='view') }}

-- An estimate, in a relation of its own: Meta knows conversions by the day only. The day's value is
-- spread over the hours with delivery; each hour gets the difference of two rounded running totals,
-- so that the hours sum to the day exactly, whatever was rounded.
{%- set measures = ['purchases', 'revenue', 'leads', 'conversions'] %}

with days as (
    select
        facts.*,
        '{{ var("allocated_scale") }}'::integer as least_scale
    from {{ ref('metric_facts') }} as facts
    where
        facts.grain = 'day'
        and num_nonnulls(facts.purchases, facts.revenue, facts.leads, facts.conversions) > 0
),

hours as (
    select
        natural_key,
        account_id,
        entity_id,
        event_date,
        event_at,
        event_hour,
        coalesce(link_clicks, 0) as link_clicks,
        coalesce(clicks, 0) as clicks,
        coalesce(impressions, 0) as impressions,
        sum(link_clicks) over day as day_link_clicks,
        sum(clicks) over day as day_clicks,
        sum(impressions) over day as day_impressions
    from {{ ref('metric_facts') }}
    where grain <> 'day'
    window day as (partition by event_date, account_id, entity_id)
),

weighted as (
    select
        hours.*,
        case
            when day_link_clicks > 0 then 'link_clicks'
            when day_clicks > 0 then 'clicks'
            when day_impressions > 0 then 'impressions'
            else 'hours'
        end as basis,
        case
            when day_link_clicks > 0 then link_clicks
            when day_clicks > 0 then clicks
            when day_impressions > 0 then impressions
            else 1
        end::numeric as weight
    from hours
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
    coalesce(running.natural_key, days.natural_key) as natural_key,
    days.workspace_id,
    days.provider,
    days.account_id,
    days.level,
    days.external_entity_id,
    days.entity_id,
    days.campaign_id,
    days.adset_id,
    days.ad_id,
    days.event_date,
    running.event_at,
    running.event_hour,
    days.timezone,
    days.currency,
    days.goal,
    coalesce(running.basis, 'none') as allocation_basis,
    round(running.weight / running.total_weight, 6) as allocation_share,
    {% for measure in measures -%}
        {{ allocated('days.' ~ measure) }} as {{ measure }}_allocated,
    {% endfor -%}
    case
        when running.natural_key is null then 'no_hour_with_delivery'
    end as unallocated_reason,
    'known_by_day_only' as hourly_null_reason,
    days.is_settled,
    days.pulled_at
from days
left join running
    on
        days.event_date = running.event_date
        and days.account_id = running.account_id
        and days.entity_id = running.entity_id
