with days as (
    select
        account_id,
        event_date,
        ad_id,
        adset_id,
        campaign_id
    from raw.insights_daily
    where account_id = any(%(accounts)s) and event_date between %(start)s and %(end)s
    union
    select
        account_id,
        event_date,
        ad_id,
        adset_id,
        campaign_id
    from raw.insights_hourly
    where account_id = any(%(accounts)s) and event_date between %(start)s and %(end)s
)

select
    days.account_id,
    days.event_date,
    broken.rule,
    false as is_warning,
    count(*) as violations,
    'ad ' || min(days.ad_id) as observed
from days
left join raw.ads as ads on days.ad_id = ads.id
left join raw.adsets as adsets on days.adset_id = adsets.id
left join raw.campaigns as campaigns on days.campaign_id = campaigns.id
cross join
    lateral (
        values
        (ads.id, 'the ad is in raw.ads'),
        (adsets.id, 'its ad set is in raw.adsets'),
        (campaigns.id, 'its campaign is in raw.campaigns')
    ) as broken (found_id, rule)
where broken.found_id is null
group by days.account_id, days.event_date, broken.rule
