{{ config(meta={'dagster': {'ref': {'name': 'conversions_daily'}}}) }}

-- Hours as allocated = day = the long table, in every measure of every ad.
with facts as (
    select
        entity_id,
        ad_id,
        source,
        event_date,
        {{ summed_measures() }}
    from {{ ref('metric_facts') }}
    where grain = 'day' and {{ dates_in_window('event_date') }}
    group by entity_id, ad_id, source, event_date
),

allocated as (
    select
        entity_id,
        event_date,
        sum(purchases_allocated) as purchases,
        sum(revenue_allocated) as revenue,
        sum(leads_allocated) as leads,
        sum(conversions_allocated) as conversions
    from {{ ref('metric_facts_allocated') }}
    where {{ dates_in_window('event_date') }}
    group by entity_id, event_date
),

listed as (
    select
        ad_id,
        event_date,
        sum(value) filter (where conversion = 'purchases') as purchases,
        sum(value) filter (where conversion = 'revenue') as revenue,
        sum(value) filter (where conversion = 'leads') as leads
    from {{ ref('conversions_daily') }}
    where {{ dates_in_window('event_date') }}
    group by ad_id, event_date
)

select
    facts.entity_id,
    facts.event_date,
    'allocated hours do not sum to the day' as problem
from facts
left join allocated
    on facts.entity_id = allocated.entity_id and facts.event_date = allocated.event_date
where
    (facts.purchases, facts.revenue, facts.leads, facts.conversions)
    is distinct from
    (allocated.purchases, allocated.revenue, allocated.leads, allocated.conversions)
union all
select
    facts.entity_id,
    facts.event_date,
    'conversions_daily differs' as problem
from facts
left join listed on facts.ad_id = listed.ad_id and facts.event_date = listed.event_date
where
    facts.source = 'insights'
    and (facts.purchases, facts.revenue, facts.leads)
    is distinct from (listed.purchases, listed.revenue, listed.leads)
