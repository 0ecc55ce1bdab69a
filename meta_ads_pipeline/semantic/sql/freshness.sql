select
    account_id,
    name,
    timezone,
    is_active,
    first_date,
    last_date,
    last_hour_at,
    last_pulled_at,
    data_lag_minutes,
    is_late,
    missing_days,
    held_days,
    held_dates,
    incomplete_days,
    unsettled_days
from serving.freshness
where workspace_id = %(workspace)s
order by is_active desc, name asc, account_id asc
