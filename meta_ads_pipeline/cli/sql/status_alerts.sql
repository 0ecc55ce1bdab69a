select
    kind,
    subject,
    severity,
    message,
    what_to_do,
    first_raised_at,
    last_raised_at
from control.alerts
where resolved_at is null
order by array_position(array['critical', 'warning', 'info'], severity), subject
