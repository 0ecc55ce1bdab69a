{{ config(materialized='view') }}

-- Nothing is converted silently: the rate, its date and its age stand beside the amount, and where
-- there is no rate there is no amount.
with reporting_currencies as (
    select distinct reporting_currency
    from {{ ref('exchange_rates') }}
)

select
    facts.workspace_id,
    facts.provider,
    facts.account_id,
    facts.campaign_id,
    facts.adset_id,
    facts.ad_id,
    facts.event_date,
    facts.currency,
    facts.spend,
    facts.revenue,
    reporting_currencies.reporting_currency,
    used.rate as exchange_rate,
    used.rate_date as exchange_rate_date,
    facts.event_date - used.rate_date as exchange_rate_age_days,
    facts.spend * used.rate as spend_reporting,
    facts.revenue * used.rate as revenue_reporting,
    case
        when reporting_currencies.reporting_currency is null then 'no_reporting_currency'
        when used.rate is null then 'no_rate'
    end as unconverted_reason,
    facts.is_settled,
    facts.pulled_at
from {{ ref('ad_daily') }} as facts
left join reporting_currencies on true
left join
    lateral (
        select
            1::numeric as rate,
            facts.event_date as rate_date
        where facts.currency = reporting_currencies.reporting_currency
        union all
        (
            select
                rates.rate,
                rates.rate_date
            from {{ ref('exchange_rates') }} as rates
            where
                rates.currency = facts.currency
                and rates.currency <> rates.reporting_currency
                and rates.reporting_currency = reporting_currencies.reporting_currency
                and rates.rate_date between
                facts.event_date - {{ var('exchange_rate_max_age_days') }} and facts.event_date
            order by rates.rate_date desc
            limit 1
        )
    ) as used
    on true
