select
    r.account_id,
    r.event_date,
    r.status,
    r.message
from control.check_results as r
inner join control.ad_accounts as a on r.account_id = a.account_id and a.is_active
where
    r.asset = %(asset)s and r.check_name = %(check)s and r.status <> 'passed'
    and (r.status = 'failed' or r.event_date is null or r.event_date >= %(warned_since)s)
order by r.event_date, r.account_id
