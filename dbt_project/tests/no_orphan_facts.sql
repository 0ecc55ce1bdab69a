{{ config(meta={'dagster': {'ref': {'name': 'ad_daily'}}}) }}

-- Every ad with facts has its ad, ad set and campaign, also when Meta's lists leave them out.
select
    facts.ad_id,
    facts.adset_id,
    facts.campaign_id,
    min(facts.event_date) as first_date
from {{ ref('ad_daily') }} as facts
left join {{ ref('dim_ads') }} as ads on facts.ad_id = ads.ad_id
left join {{ ref('dim_adsets') }} as adsets on facts.adset_id = adsets.adset_id
left join {{ ref('dim_campaigns') }} as campaigns on facts.campaign_id = campaigns.campaign_id
where
    facts.provider = 'meta'
    and {{ dates_in_window('facts.event_date') }}
    and num_nulls(ads.ad_id, adsets.adset_id, campaigns.campaign_id) > 0
group by facts.ad_id, facts.adset_id, facts.campaign_id
