{{ rollup('campaign_id', is_hourly=true) }}
