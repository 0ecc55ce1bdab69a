-- The same total at every level: pull = facts, hour = day, ad = ad set = campaign = account, by
-- account, date and measure, to the last unit. What the three pulls say among each other is the
-- reconciliation's business; this is about what became of them on the way to each table.
with totals as (
    select
        'facts' as place,
        account_id,
        event_date,
        sum(spend)::numeric as spend,
        sum(impressions)::numeric as impressions,
        sum(clicks)::numeric as clicks,
        sum(link_clicks)::numeric as link_clicks,
        sum(purchases)::numeric as purchases,
        sum(revenue)::numeric as revenue,
        sum(leads)::numeric as leads,
        sum(conversions)::numeric as conversions
    from marts.metric_facts
    where
        provider = 'meta'
        and account_id = any(%(accounts)s)
        and event_date between %(start)s and %(end)s
    group by account_id, event_date
    union all
    select
        'account by hour' as place,
        account_id,
        event_date,
        sum(spend)::numeric as spend,
        sum(impressions)::numeric as impressions,
        sum(clicks)::numeric as clicks,
        sum(link_clicks)::numeric as link_clicks,
        sum(purchases)::numeric as purchases,
        sum(revenue)::numeric as revenue,
        sum(leads)::numeric as leads,
        sum(conversions)::numeric as conversions
    from marts.account_hourly
    where
        provider = 'meta'
        and account_id = any(%(accounts)s)
        and event_date between %(start)s and %(end)s
    group by account_id, event_date
    union all
    select
        'campaigns by hour' as place,
        account_id,
        event_date,
        sum(spend)::numeric as spend,
        sum(impressions)::numeric as impressions,
        sum(clicks)::numeric as clicks,
        sum(link_clicks)::numeric as link_clicks,
        sum(purchases)::numeric as purchases,
        sum(revenue)::numeric as revenue,
        sum(leads)::numeric as leads,
        sum(conversions)::numeric as conversions
    from marts.campaign_hourly
    where
        provider = 'meta'
        and account_id = any(%(accounts)s)
        and event_date between %(start)s and %(end)s
    group by account_id, event_date
    union all
    select
        'account' as place,
        account_id,
        event_date,
        sum(spend)::numeric as spend,
        sum(impressions)::numeric as impressions,
        sum(clicks)::numeric as clicks,
        sum(link_clicks)::numeric as link_clicks,
        sum(purchases)::numeric as purchases,
        sum(revenue)::numeric as revenue,
        sum(leads)::numeric as leads,
        sum(conversions)::numeric as conversions
    from marts.account_daily
    where
        provider = 'meta'
        and account_id = any(%(accounts)s)
        and event_date between %(start)s and %(end)s
    group by account_id, event_date
    union all
    select
        'campaigns' as place,
        account_id,
        event_date,
        sum(spend)::numeric as spend,
        sum(impressions)::numeric as impressions,
        sum(clicks)::numeric as clicks,
        sum(link_clicks)::numeric as link_clicks,
        sum(purchases)::numeric as purchases,
        sum(revenue)::numeric as revenue,
        sum(leads)::numeric as leads,
        sum(conversions)::numeric as conversions
    from marts.campaign_daily
    where
        provider = 'meta'
        and account_id = any(%(accounts)s)
        and event_date between %(start)s and %(end)s
    group by account_id, event_date
    union all
    select
        'ad sets' as place,
        account_id,
        event_date,
        sum(spend)::numeric as spend,
        sum(impressions)::numeric as impressions,
        sum(clicks)::numeric as clicks,
        sum(link_clicks)::numeric as link_clicks,
        sum(purchases)::numeric as purchases,
        sum(revenue)::numeric as revenue,
        sum(leads)::numeric as leads,
        sum(conversions)::numeric as conversions
    from marts.adset_daily
    where
        provider = 'meta'
        and account_id = any(%(accounts)s)
        and event_date between %(start)s and %(end)s
    group by account_id, event_date
    union all
    select
        'ads' as place,
        account_id,
        event_date,
        sum(spend)::numeric as spend,
        sum(impressions)::numeric as impressions,
        sum(clicks)::numeric as clicks,
        sum(link_clicks)::numeric as link_clicks,
        sum(purchases)::numeric as purchases,
        sum(revenue)::numeric as revenue,
        sum(leads)::numeric as leads,
        sum(conversions)::numeric as conversions
    from marts.ad_daily
    where
        provider = 'meta'
        and account_id = any(%(accounts)s)
        and event_date between %(start)s and %(end)s
    group by account_id, event_date
),

measured as (
    select
        totals.place,
        totals.account_id,
        totals.event_date,
        measures.measure,
        measures.total
    from totals
    cross join
        lateral (
            values
            ('spend', totals.spend),
            ('impressions', totals.impressions),
            ('clicks', totals.clicks),
            ('link_clicks', totals.link_clicks),
            ('purchases', totals.purchases),
            ('revenue', totals.revenue),
            ('leads', totals.leads),
            ('conversions', totals.conversions)
        ) as measures (measure, total)
),

-- Compared with the pull is what may be in the facts: not what is held back, or what another run
-- has pulled since.
agreed as materialized (
    select
        reconciliation.account_id,
        reconciliation.event_date,
        reconciliation.measure,
        reconciliation.hourly_total is not null as has_hours,
        reconciliation.ad_daily_total
    from marts.reconciliation as reconciliation
    where
        reconciliation.account_id = any(%(accounts)s)
        and reconciliation.event_date between %(start)s and %(end)s
        and reconciliation.status in ('reconciled', 'within_tolerance')
        and not exists (
            select 1
            from control.check_results as held
            where
                held.account_id = reconciliation.account_id
                and held.event_date = reconciliation.event_date
                and held.status = 'failed'
                and held.severity = 'block'
                and held.asset like 'raw/%%'
        )
        and not exists (
            select 1
            from control.slices as slices
            where
                slices.account_id = reconciliation.account_id
                and slices.partition_date = reconciliation.event_date
                and slices.asset in ('insights_hourly', 'insights_daily')
                and slices.finished_at > %(started_at)s
                and slices.run_id is distinct from %(run)s
        )
),

hours as (
    select
        account_id,
        event_date,
        sum(spend) as spend,
        sum(impressions) as impressions,
        sum(clicks) as clicks,
        sum(link_clicks) as link_clicks
    from raw.insights_hourly
    where account_id = any(%(accounts)s) and event_date between %(start)s and %(end)s
    group by account_id, event_date
),

pulled as (
    select
        agreed.account_id,
        agreed.event_date,
        agreed.measure,
        case
            when not agreed.has_hours then agreed.ad_daily_total
            when agreed.measure = 'spend' then hours.spend
            when agreed.measure = 'impressions' then hours.impressions
            when agreed.measure = 'clicks' then hours.clicks
            when agreed.measure = 'link_clicks' then hours.link_clicks
        end as total
    from agreed
    left join hours
        on agreed.account_id = hours.account_id and agreed.event_date = hours.event_date
),

facts as (
    select
        account_id,
        event_date,
        measure,
        total
    from measured
    where place = 'facts'
),

differing as (
    select
        account_id,
        event_date,
        measure,
        names.place,
        other.total,
        facts.total as facts_total
    from (
        select distinct
            account_id,
            event_date
        from totals
    ) as days
    cross join
        unnest(
            array[
                'account by hour', 'campaigns by hour', 'account', 'campaigns', 'ad sets', 'ads'
            ]
        ) as names (place)
    cross join
        unnest(
            array[
                'spend', 'impressions', 'clicks', 'link_clicks',
                'purchases', 'revenue', 'leads', 'conversions'
            ]
        ) as measures (measure)
    left join facts using (account_id, event_date, measure)
    left join measured as other using (account_id, event_date, measure, place)
    where
        other.total is distinct from facts.total
        -- Conversions have no hours, nor has anything of a date so old that Meta keeps none.
        and not (
            names.place like '%% by hour'
            and (
                measure in ('purchases', 'revenue', 'leads', 'conversions')
                or exists (
                    select 1
                    from agreed
                    where
                        agreed.account_id = days.account_id
                        and agreed.event_date = days.event_date
                        and agreed.measure = measures.measure
                        and not agreed.has_hours
                )
            )
        )
    union all
    -- Nothing pulled and nothing in the facts is the same, whether it is called null or 0.
    select
        pulled.account_id,
        pulled.event_date,
        pulled.measure,
        'pulled' as place,
        pulled.total,
        facts.total as facts_total
    from pulled
    left join facts
        on
            pulled.account_id = facts.account_id
            and pulled.event_date = facts.event_date
            and pulled.measure = facts.measure
    where coalesce(pulled.total, 0) <> coalesce(facts.total, 0)
)

select
    account_id,
    event_date,
    'the total is the same at every level' as rule,
    false as is_warning,
    1 as violations,
    string_agg(place || ' ' || coalesce(total::text, 'none'), ', ' order by place) as observed,
    measure || ' ' || coalesce(min(facts_total)::text, 'none') || ', as in the facts' as expected,
    measure || ' differs in ' || string_agg(place, ', ' order by place) as message,
    json_build_object(
        'account', 'act_' || account_id,
        'date', event_date,
        'measure', measure,
        'facts', coalesce(min(facts_total)::text, 'none'),
        'differs', string_agg(place || ' ' || coalesce(total::text, 'none'), ', ' order by place)
    ) as shown
from differing
group by account_id, event_date, measure
order by account_id, event_date, measure
