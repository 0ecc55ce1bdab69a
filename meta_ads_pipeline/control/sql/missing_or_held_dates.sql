select
    event_date,
    account_id,
    'not pulled' as reason
from control.account_days
where is_active and state = 'missing' and event_date = any(%(dates)s)
union all
select
    r.event_date,
    r.account_id,
    r.check_name || ' of ' || r.asset
from control.check_results as r
inner join control.ad_accounts as a on r.account_id = a.account_id and a.is_active
where
    r.status = 'failed' and r.severity = 'block' and r.asset like 'raw/%%'
    and r.event_date = any(%(dates)s)
