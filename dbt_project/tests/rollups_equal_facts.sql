{{ config(meta={'dagster': {'ref': {'name': 'account_daily'}}}) }}

-- facts = ad = ad set = campaign = account, by day and by hour, in every measure.
{%- set delivery = ['spend', 'impressions', 'clicks', 'link_clicks'] -%}
{%- set conversions = ['purchases', 'revenue', 'leads', 'conversions'] -%}
{%- set rollups = [
    'account_daily', 'campaign_daily', 'adset_daily', 'ad_daily', 'account_hourly', 'campaign_hourly'
] %}

with facts as (
    select
        account_id,
        event_date,
        {{ summed_measures() }}
    from {{ ref('metric_facts') }}
    where provider = 'meta' and {{ dates_in_window('event_date') }}
    group by account_id, event_date
),

rollups as (
    {% for rollup in rollups %}
        select
            '{{ rollup }}' as rollup,
            account_id,
            event_date,
            {{ summed_measures() }}
        from {{ ref(rollup) }}
        where provider = 'meta' and {{ dates_in_window('event_date') }}
        group by account_id, event_date
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

expected as (
    select
        names.rollup,
        names.rollup like '%hourly' as is_hourly,
        facts.*
    from facts
    cross join
        unnest(
            array[{{ text_list(rollups) }}]
        ) as names (rollup)
)

select
    coalesce(expected.rollup, rollups.rollup) as rollup,
    coalesce(expected.account_id, rollups.account_id) as account_id,
    coalesce(expected.event_date, rollups.event_date) as event_date
from expected
full join rollups
    on
        expected.rollup = rollups.rollup
        and expected.account_id = rollups.account_id
        and expected.event_date = rollups.event_date
where
    false
    {% for measure in delivery %}
        or expected.{{ measure }} is distinct from rollups.{{ measure }}
    {% endfor %}
    {% for measure in conversions %}
        or case when not expected.is_hourly then expected.{{ measure }} end
        is distinct from rollups.{{ measure }}
    {% endfor %}
