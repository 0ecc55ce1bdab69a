{{ config(meta={'dagster': {'ref': {'name': 'metric_facts'}}}) }}

-- Delivery is on hour rows and conversions on day rows, so that a sum over any rows is right. Only
-- where Meta keeps no hours of a date any more, delivery is on day rows, too. Other providers
-- choose the grain of a measure, but one for an entity and date.
with facts as (
    select *
    from {{ ref('metric_facts') }}
    where {{ dates_in_window('event_date') }}
)

select
    entity_id,
    event_date,
    'delivery and conversions share a row, or are on the wrong grain' as problem
from facts
where
    source = 'insights'
    and (
        grain = 'hour' and num_nonnulls(purchases, revenue, leads, conversions) > 0
        or grain = 'minute'
        or grain = 'day'
        and num_nonnulls(spend, impressions, clicks, link_clicks) > 0
        and exists (
            select 1
            from {{ ref('reconciliation') }} as pulls
            where
                pulls.account_id = facts.account_id
                and pulls.event_date = facts.event_date
                and pulls.hourly_total is not null
        )
    )
union all
select
    entity_id,
    event_date,
    'a measure is on two grains' as problem
from facts
group by entity_id, event_date
having
    false
    {% for measure in [
        'spend', 'impressions', 'clicks', 'link_clicks', 'purchases', 'revenue', 'leads', 'conversions'
    ] %}
        or count(distinct grain) filter (where {{ measure }} is not null) > 1
    {% endfor %}
