select
    a.account_id,
    a.name,
    a.currency,
    a.timezone,
    a.is_active,
    max(s.partition_date) filter (where s.status = 'done') as last_date,
    max(s.finished_at) filter (where s.status = 'done') as last_finished_at,
    count(*) filter (where s.status <> 'done') as slices_not_done
from control.ad_accounts as a
left join control.slices as s using (account_id)
group by a.account_id
order by a.account_id
