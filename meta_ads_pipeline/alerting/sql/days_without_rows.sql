-- Past account-days of which Meta's answer has no row, though rows were landed before.
select
    s.account_id,
    array_agg(distinct s.partition_date) filter (where s.status <> 'done') as kept,
    array_agg(distinct s.partition_date) filter (where s.status = 'done') as removed
from control.slices as s
inner join control.ad_accounts as a on s.account_id = a.account_id and a.is_active
where
    (s.status <> 'done' and s.error_kind in ('empty_answer', 'empty_day'))
    or (
        s.status = 'done' and s.rows_fetched = 0
        and s.rows_unchanged = 0 -- hours that agree with their day are kept without being read
        and exists (
            select from raw.insights_changes as c
            where
                c.account_id = s.account_id and c.event_date = s.partition_date
                and c.asset = s.asset and c.new_value is null and c.detected_at > %(since)s
                and (c.detected_at at time zone a.timezone)::date > c.event_date
        )
    )
group by s.account_id
order by s.account_id
