{{ config(meta={'dagster': {'ref': {'name': 'metric_facts'}}}) }}

-- Delivery is on hour rows and conversions on day rows, so that a sum over any rows is right.
-- Other providers choose the grain of a measure, but one for an entity and date.
select
    entity_id,
    event_date,
    'delivery and conversions share a row, or are on the wrong grain' as problem
from {{ ref('metric_facts') }}
where
    source = 'insights'
    and {{ dates_in_window('event_date') }}
    and (
        grain = 'hour' and num_nonnulls(purchases, revenue, leads, conversions) > 0
        or grain = 'day' and num_nonnulls(spend, impressions, clicks, link_clicks) > 0
        or grain = 'minute'
    )
union all
select
    entity_id,
    event_date,
    'a measure is on two grains' as problem
from {{ ref('metric_facts') }}
where source <> 'insights' and {{ dates_in_window('event_date') }}
group by entity_id, event_date
having
    false
    {% for measure in [
        'spend', 'impressions', 'clicks', 'link_clicks', 'purchases', 'revenue', 'leads', 'conversions'
    ] %}
        or count(distinct grain) filter (where {{ measure }} is not null) > 1
    {% endfor %}
