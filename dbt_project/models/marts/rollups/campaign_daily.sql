{{ rollup('campaign_id') }}
