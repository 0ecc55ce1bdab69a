{{ rollup('adset_id', parents=['campaign_id'], has_goal=true) }}
