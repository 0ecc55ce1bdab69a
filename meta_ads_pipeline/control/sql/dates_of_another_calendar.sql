select
    a.account_id,
    min(t.event_date) as first_date,
    max(t.event_date) as last_date,
    string_agg(distinct t.timezone, ', ') as timezones
from control.ad_accounts as a
left join raw.account_totals as t
    on a.account_id = t.account_id and t.timezone <> a.timezone
    -- A zone that was only renamed keeps its clocks.
    and t.event_date::timestamp at time zone t.timezone
    <> t.event_date::timestamp at time zone a.timezone
where
    a.account_id = any(%(accounts)s)
    and (
        select count(*) from control.account_timezones as h
        where h.account_id = a.account_id
    ) > 1
group by a.account_id
