select
    load_id,
    account_id,
    partition_date as event_date,
    asset,
    pulled_at
from {{ source('control', 'slice_loads') }}
where asset in ('insights_hourly', 'insights_daily', 'account_totals')
