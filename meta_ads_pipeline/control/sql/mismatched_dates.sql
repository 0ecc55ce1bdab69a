select
    r.event_date,
    r.account_id,
    r.measure || ' ' || r.status as reason
from marts.reconciliation as r
inner join control.ad_accounts as a on r.account_id = a.account_id and a.is_active
where r.status = 'mismatch' and r.event_date = any(%(dates)s)
