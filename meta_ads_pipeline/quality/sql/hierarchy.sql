-- No fact without its ad, its ad set and its campaign. Deleted and archived objects count as known:
-- they are read by id.
with facts as materialized (
    select
        account_id,
        event_date,
        ad_id,
        adset_id,
        campaign_id
    from marts.metric_facts
    where
        provider = 'meta'
        and source = 'insights'
        and account_id = any(%(accounts)s)
        and event_date between %(start)s and %(end)s
    group by account_id, event_date, ad_id, adset_id, campaign_id
),

several_parents as (
    select ad_id
    from facts
    group by ad_id
    having min(adset_id) <> max(adset_id) or min(campaign_id) <> max(campaign_id)
)

select
    facts.account_id,
    facts.event_date,
    broken.rule,
    false as is_warning,
    count(distinct facts.ad_id) as violations,
    'ad ' || min(facts.ad_id) as observed
from facts
left join raw.ads as ads on facts.ad_id = ads.id
left join raw.adsets as adsets on facts.adset_id = adsets.id
left join raw.campaigns as campaigns on facts.campaign_id = campaigns.id
left join several_parents on facts.ad_id = several_parents.ad_id
cross join
    lateral (
        values
        (ads.id is not null, 'the ad is in raw.ads'),
        (adsets.id is not null, 'the ad set is in raw.adsets'),
        (campaigns.id is not null, 'the campaign is in raw.campaigns'),
        (ads.adset_id is null or ads.adset_id = facts.adset_id, 'the ad is in the fact''s ad set'),
        (
            adsets.campaign_id is null or adsets.campaign_id = facts.campaign_id,
            'the ad set is in the fact''s campaign'
        ),
        (several_parents.ad_id is null, 'an ad is in one ad set and one campaign')
    ) as broken (is_so, rule)
where not broken.is_so
group by facts.account_id, facts.event_date, broken.rule
