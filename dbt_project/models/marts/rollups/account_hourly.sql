{{ rollup(is_hourly=true) }}
