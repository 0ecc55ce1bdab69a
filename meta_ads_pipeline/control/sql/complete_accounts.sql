select
    s.account_id,
    s.partition_date
from control.slices as s
inner join control.account_days as d
    on s.account_id = d.account_id and s.partition_date = d.event_date
where
    s.asset = %(asset)s and s.partition_date = any(%(dates)s)
    and s.status = 'done' and s.pulled_at >= d.ends_at
    and s.pulled_at > control.current_instant() - interval '1 day'
    and exists (
        select from control.slices as other
        inner join control.ad_accounts as a
            on other.account_id = a.account_id and a.is_active
        where
            other.asset = s.asset and other.partition_date = s.partition_date
            and other.status in ('failed', 'parked', 'running')
    )
