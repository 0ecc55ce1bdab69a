select
    min(outdated.event_date) as first,
    max(outdated.event_date) as last
from marts.fact_definitions as outdated
inner join intermediate.int_meta__agreed_account_days
    using (account_id, event_date)
where
    not outdated.is_current
    and (
        %(start)s::date is null
        or outdated.event_date between %(start)s and %(end)s::date
    )
group by date_trunc('month', outdated.event_date)
order by 1 desc
