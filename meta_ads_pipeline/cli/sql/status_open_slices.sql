select
    s.account_id,
    s.asset,
    s.status,
    s.error_kind,
    count(*) as slices,
    min(s.partition_date) as first_date,
    max(s.partition_date) as last_date,
    max(s.attempts) as attempts,
    max(s.next_attempt_at) as next_attempt_at,
    max(s.error_message) as reason
from control.slices as s
left join control.ad_accounts as a using (account_id)
where s.status <> 'done' and a.is_active
group by 1, 2, 3, 4
order by 1, 2, 3, 4
