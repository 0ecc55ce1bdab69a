select
    s.partition_date,
    coalesce(s.rows_inserted + s.rows_updated + s.rows_unchanged, 0) as rows
from control.slices as s
left join control.ad_accounts as a on s.account_id = a.account_id
left join control.syncs as y on y.sync_id::text = %(sync)s
cross join
    lateral (
        select (s.partition_date + 1)::timestamp at time zone coalesce(a.timezone, 'UTC') as ended_at
    ) as d
where
    s.account_id = %(account)s
    and s.asset = %(asset)s
    and s.status = 'done'
    and (s.sync_id = %(sync)s or s.pulled_at >= y.started_at)
    and (
        (
            y.started_at = 'epoch'
            and not exists (
                select from control.account_days as due
                where
                    due.account_id = s.account_id
                    and due.event_date = s.partition_date
                    and due.is_due
                    and s.asset = any(%(insights)s)
                    and (
                        s.pulled_at < due.ends_at
                        or due.can_settle
                        and (s.pulled_at at time zone due.timezone)::date - due.event_date
                        <= %(settled_after)s
                    )
            )
        )
        or y.started_at is distinct from 'epoch'
        and s.pulled_at >= d.ended_at + make_interval(days => %(settled_after)s)
        or clock_timestamp() - s.pulled_at
        < case when s.pulled_at < d.ended_at then %(open)s else %(recent)s end
    )
