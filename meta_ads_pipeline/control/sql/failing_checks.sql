select
    r.account_id,
    r.asset,
    r.check_name as "check",
    min(r.severity) as severity,
    array_agg(r.event_date order by r.event_date)
    filter (where r.event_date is not null) as days,
    max(r.times_failed) as times_failed,
    min(r.first_failed_at) as first_failed_at,
    (array_agg(
        coalesce(r.message, r.check_name)
        order by r.times_failed desc, r.event_date desc
    ))[1] as message
from control.check_results as r
inner join control.ad_accounts as a on r.account_id = a.account_id and a.is_active
where
    r.status <> 'passed' and r.status = 'failed' and r.severity <> 'inform'
    and r.times_failed >= %(looks)s and r.last_failed_at - r.first_failed_at >= %(span)s
group by 1, 2, 3
order by 1, 2, 3
