select
    r.account_id,
    r.event_date,
    sum(r.change) as change,
    (array_agg(r.old_value order by r.detected_at))[1] as before
from marts.restatements as r
where
    r.asset = 'account_totals' and r.measure = 'spend' and r.lag_days >= 2
    and r.detected_at > %(since)s
group by r.account_id, r.event_date
having
    abs(sum(r.change)) * 100
    > %(percent)s * nullif((array_agg(r.old_value order by r.detected_at))[1], 0)
order by r.account_id, r.event_date
