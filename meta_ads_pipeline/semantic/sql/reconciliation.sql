select
    r.account_id,
    a.name as account_name,
    r.event_date,
    r.measure,
    a.currency,
    r.hourly_total,
    r.ad_daily_total,
    r.account_total,
    r.delta,
    r.tolerance,
    r.status,
    r.reason,
    r.is_complete,
    r.is_settled,
    r.pulled_at
from marts.reconciliation as r
left join marts.dim_ad_accounts as a on r.account_id = a.account_id
where
    r.workspace_id = %(workspace)s and r.event_date between %(start)s and %(end)s
    and (%(account)s::text is null or r.account_id = %(account)s)
    and (%(measure)s::text is null or r.measure = %(measure)s)
order by r.event_date desc, r.account_id asc, r.measure asc
limit %(limit)s offset %(skip)s
