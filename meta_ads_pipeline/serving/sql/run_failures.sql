select
    s.account_id,
    s.asset,
    min(s.partition_date) as start_date,
    max(s.partition_date) as end_date,
    count(*) as slices,
    max(s.error_message) as reason
from control.slices as s
where
    s.run_id = %(run)s and s.status in ('failed', 'parked')
    and exists (
        select from control.ad_accounts as a
        where a.account_id = s.account_id and a.workspace_id = %(workspace)s
    )
group by s.account_id, s.asset
order by s.account_id, s.asset
limit 50
