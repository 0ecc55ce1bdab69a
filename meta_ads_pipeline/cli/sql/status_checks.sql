select
    account_id,
    check_name || ' of ' || asset as "check",
    severity || ', ' || status as state,
    concat_ws(
        ' to ', min(event_date),
        nullif(max(event_date), min(event_date))
    ) as dates,
    max(times_failed) as runs,
    to_char(
        min(first_failed_at) at time zone 'UTC',
        'YYYY-MM-DD HH24:MI'
    ) as since,
    left((array_agg(message order by times_failed desc, event_date desc))[1], 200) as message
from control.check_results
where status <> 'passed' and severity <> 'inform'
group by account_id, asset, check_name, severity, status
order by status, array_position(array['block', 'warn'], severity), 1, 2
