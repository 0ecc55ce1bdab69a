{{ config(
    materialized='incremental',
    incremental_strategy='replace_window',
    on_schema_change='append_new_columns',
    contract={'enforced': true},
    unique_key='anomaly_key',
    meta={'spans_dates': true},
    indexes=[{'columns': ['anomaly_key'], 'unique': true}]
) }}

{%- set chosen = not_running_statuses() %}

-- Why delivery stopped, where that is known: every ad that had delivered in the week before was
-- paused or removed, had come to its end, or had spent its budget.
with stops as (
    select
        anomaly_key,
        grain,
        level,
        account_id,
        external_entity_id,
        event_date,
        last_date,
        starts_at,
        ends_at
    from {{ ref('int_meta__anomaly_episodes') }} as episodes
    where
        kind = 'stopped'
        and measure = 'impressions'
        and {{ touches_window('episodes', is_incremental()) }}
),

ads as (
    select distinct
        stops.*,
        delivered.ad_id,
        delivered.adset_id,
        delivered.campaign_id
    from stops
    inner join {{ ref('ad_daily') }} as delivered
        on
            stops.account_id = delivered.account_id
            and delivered.provider = 'meta'
            and delivered.event_date between stops.event_date - 7 and stops.event_date
            and delivered.impressions > 0
            and (
                stops.level = 'account' or stops.external_entity_id = delivered.campaign_id
            )
),

-- A change of status is known from the pull that saw it, up to a day after it happened, unless
-- delivery went on by then.
horizons as (
    select
        stops.anomaly_key,
        case
            when
                exists (
                    select 1
                    from {{ ref('campaign_hourly') }} as later
                    where
                        later.account_id = stops.account_id
                        and later.provider = 'meta'
                        and later.event_date between stops.last_date and stops.last_date + 1
                        and later.event_at >= stops.ends_at
                        and later.impressions > 0
                        and (
                            stops.level = 'account'
                            or stops.external_entity_id = later.campaign_id
                        )
                )
                then stops.ends_at
            else stops.ends_at + interval '1 day'
        end as known_by
    from stops
),

-- The budget that an ad spends from: its campaign's or its ad set's.
budgets as (
    select
        ads.anomaly_key,
        ads.ad_id,
        bool_or(
            spent.total >= 0.99 * history.lifetime_budget
            or (ads.grain = 'hour' and spent.of_day >= history.daily_budget)
        ) as is_spent
    from ads
    inner join {{ ref('entity_history') }} as history
        on
            (
                (ads.adset_id = history.external_entity_id and history.level = 'adset')
                or (ads.campaign_id = history.external_entity_id and history.level = 'campaign')
            )
            and ads.ends_at > history.valid_from
            and ads.starts_at < coalesce(history.valid_to, 'infinity')
            and coalesce(history.daily_budget, history.lifetime_budget) is not null
    cross join
        lateral (
            select
                sum(daily.spend) as total,
                sum(daily.spend) filter (where daily.event_date = ads.event_date) as of_day
            from {{ ref('adset_daily') }} as daily
            where
                daily.provider = 'meta'
                and daily.account_id = ads.account_id
                and daily.event_date <= ads.event_date
                and history.external_entity_id
                = case history.level when 'adset' then daily.adset_id else daily.campaign_id end
        ) as spent
    group by ads.anomaly_key, ads.ad_id
),

reasons as (
    select
        ads.anomaly_key,
        ads.event_date,
        ads.last_date,
        case
            when
                exists (
                    select 1
                    from {{ ref('entity_history') }} as history
                    where
                        history.level = 'ad'
                        and history.external_entity_id = ads.ad_id
                        and history.effective_status in ({{ text_list(chosen) }})
                        -- When the state of the first pull began, nobody saw.
                        and (
                            history.valid_from <= horizons.known_by
                            or not exists (
                                select 1
                                from {{ ref('entity_history') }} as earlier
                                where
                                    earlier.level = 'ad'
                                    and earlier.external_entity_id = ads.ad_id
                                    and earlier.valid_from < history.valid_from
                            )
                        )
                        and coalesce(history.valid_to, 'infinity') > ads.starts_at
                )
                then 'paused or removed'
            when least(adsets.ends_at, campaigns.ends_at) <= ads.starts_at + interval '1 hour'
                then 'at their end date'
            when budgets.is_spent then 'out of budget'
        end as reason
    from ads
    inner join horizons on ads.anomaly_key = horizons.anomaly_key
    left join {{ ref('dim_adsets') }} as adsets on ads.adset_id = adsets.adset_id
    left join {{ ref('dim_campaigns') }} as campaigns on ads.campaign_id = campaigns.campaign_id
    left join budgets on ads.anomaly_key = budgets.anomaly_key and ads.ad_id = budgets.ad_id
)

select
    anomaly_key,
    event_date,
    last_date,
    'the ads that had delivered were '
    || string_agg(distinct reason, ' or ' order by reason) as explanation
from reasons
group by anomaly_key, event_date, last_date
having count(*) = count(reason)
