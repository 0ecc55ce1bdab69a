select
    s.status,
    count(*) as slices,
    max(s.error_message) as reason
from control.slices as s
where
    s.run_id = %(run)s
    and exists (
        select from control.ad_accounts as a
        where a.account_id = s.account_id and a.workspace_id = %(workspace)s
    )
group by s.status
order by s.status
