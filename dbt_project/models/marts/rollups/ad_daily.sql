{{ rollup('ad_id', parents=['campaign_id', 'adset_id'], has_goal=true) }}
