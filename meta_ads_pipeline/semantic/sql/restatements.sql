-- An ad's change is also one of its account: the level of the account's total tells it once.
select
    r.account_id,
    a.name as account_name,
    a.currency,
    r.event_date,
    r.measure,
    (array_agg(r.old_value order by r.detected_at))[1] as old_value,
    (array_agg(r.new_value order by r.detected_at desc))[1] as new_value,
    sum(r.change) as change,
    count(*) as times,
    min(r.detected_at) as first_detected_at,
    max(r.detected_at) as last_detected_at
from serving.restatements as r
left join marts.dim_ad_accounts as a on r.account_id = a.account_id
where
    r.workspace_id = %(workspace)s
    and r.asset = 'account_totals'
    and r.detected_at >= %(since)s
    and (%(account)s::text is null or r.account_id = %(account)s)
    and (%(measure)s::text is null or r.measure = %(measure)s)
group by r.account_id, a.name, a.currency, r.event_date, r.measure
order by
    last_detected_at desc,
    r.event_date desc,
    r.account_id asc,
    array_position(%(first)s::text[], r.measure) asc nulls last,
    r.measure asc
limit %(limit)s offset %(skip)s
