select
    account_id,
    greatest(event_date, %(start)s::date) as event_date,
    'nothing unusual' as rule,
    true as is_warning,
    1 as violations,
    trim(to_char(value, 'FM999G999G990D00')) as observed,
    'up to ' || trim(to_char(expected_high, 'FM999G999G990D00')) as expected,
    sentence as message,
    json_build_object(
        'account', 'act_' || account_id,
        'date', event_date,
        'what', sentence,
        'usual', concat_ws(' to ', round(expected_low, 2), round(expected_high, 2)),
        'score', score
    ) as shown
from marts.anomalies
where
    account_id = any(%(accounts)s)
    and event_date <= %(end)s
    and coalesce(last_date, event_date) >= %(start)s
    and status is distinct from 'resolved'
    -- What has its reason, or is good news, warns of nothing.
    and severity is distinct from 'inform'
order by abs(score) desc nulls last, anomaly_key
