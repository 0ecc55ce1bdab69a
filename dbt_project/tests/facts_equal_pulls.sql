{{ config(meta={'dagster': {'ref': {'name': 'metric_facts'}}}) }}

-- The facts of an agreed account-day sum to what was pulled: delivery to the hours, conversions to
-- the ad days.
with facts as (
    select
        account_id,
        event_date,
        {{ summed_measures() }}
    from {{ ref('metric_facts') }}
    where source = 'insights' and {{ dates_in_window('event_date') }}
    group by account_id, event_date
),

pulled as (
    select
        reconciliation.account_id,
        reconciliation.event_date,
        reconciliation.measure,
        coalesce(reconciliation.hourly_total, reconciliation.ad_daily_total) as total
    from {{ ref('reconciliation') }} as reconciliation
    inner join {{ ref('int_meta__agreed_account_days') }} as agreed
        on
            reconciliation.account_id = agreed.account_id
            and reconciliation.event_date = agreed.event_date
    where
        {{ dates_in_window('reconciliation.event_date') }}
        and {{ dates_in_window('agreed.event_date') }}
)

select
    pulled.account_id,
    pulled.event_date,
    pulled.measure,
    pulled.total as pulled_total,
    summed.total as facts_total
from pulled
left join facts
    on pulled.account_id = facts.account_id and pulled.event_date = facts.event_date
cross join
    lateral (
        select
            case pulled.measure
                when 'spend' then facts.spend
                when 'impressions' then facts.impressions
                when 'clicks' then facts.clicks
                when 'link_clicks' then facts.link_clicks
                when 'purchases' then facts.purchases
                when 'revenue' then facts.revenue
                when 'leads' then facts.leads
            end as total
    ) as summed
where pulled.total <> coalesce(summed.total, 0)
