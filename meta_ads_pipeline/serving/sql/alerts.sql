select
    alert_id,
    kind,
    subject,
    severity,
    stage,
    message,
    what_to_do,
    times_raised,
    first_raised_at,
    last_raised_at,
    resolved_at
from serving.workspace_alerts
where
    workspace_id = %(workspace)s
    and (%(status)s::text is null or (%(status)s = 'open') = (resolved_at is null))
order by
    resolved_at is not null,
    array_position(array['critical', 'warning', 'info'], severity),
    last_raised_at desc
limit %(limit)s offset %(skip)s
