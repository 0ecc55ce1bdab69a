select
    anomaly_key,
    account_id,
    level,
    external_entity_id,
    grain,
    event_date,
    event_hour,
    measure,
    kind,
    direction,
    value,
    expected,
    expected_low,
    expected_high,
    unit,
    score,
    severity,
    status,
    sentence,
    first_seen_at,
    resolved_at
from marts.anomalies
where
    workspace_id = %(workspace)s and event_date between %(start)s and %(end)s
    and (%(account)s::text is null or account_id = %(account)s)
    and (%(status)s::text is null or status = %(status)s)
order by event_date desc, score desc nulls last, anomaly_key asc
limit %(limit)s offset %(skip)s
