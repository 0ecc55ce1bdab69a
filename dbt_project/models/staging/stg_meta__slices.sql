select
    account_id,
    partition_date as event_date,
    asset,
    status,
    pulled_at,
    next_attempt_at,
    error_kind,
    -- A failed attempt leaves what an earlier one landed: that is still a whole pull.
    status = 'done' or pulled_at is not null as is_pulled,
    attribution_windows
from {{ source('control', 'slices') }}
where asset in ('insights_hourly', 'insights_daily', 'account_totals')
