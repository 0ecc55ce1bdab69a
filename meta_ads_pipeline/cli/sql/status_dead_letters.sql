select
    account_id,
    asset,
    reason,
    count(*) as open,
    max(last_seen_at) as last_seen_at
from control.dead_letters
where status = 'open'
group by 1, 2, 3
order by 4 desc limit 20
