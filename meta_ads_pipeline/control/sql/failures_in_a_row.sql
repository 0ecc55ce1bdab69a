select
    f.partition_date,
    count(*)::int as failures
from control.slice_failures as f
where
    f.account_id = %(account)s and f.asset = %(asset)s and f.partition_date = any(%(dates)s)
    and f.error_kind = %(kind)s
    and not exists (
        select from control.slice_failures as other
        where
            other.account_id = f.account_id and other.asset = f.asset
            and other.partition_date = f.partition_date
            and other.error_kind = %(ended_by)s and other.failure_id > f.failure_id
    )
    and not exists (
        select from control.slice_loads as l
        where
            l.account_id = f.account_id and l.asset = f.asset
            and l.partition_date = f.partition_date
            and l.run_id is distinct from %(replay)s and l.loaded_at > f.failed_at
    )
group by f.partition_date
