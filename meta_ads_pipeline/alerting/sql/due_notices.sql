with candidates as (
    select
        alerts.*,
        'opened' as notice
    from control.alerts as alerts
    where alerts.resolved_at is null
    union all
    select
        alerts.*,
        'recovered' as notice
    from control.alerts as alerts
    where
        alerts.resolved_at is not null
        -- Who was never told that it began is not told that it is over.
        and exists (
            select from control.alert_notices as told
            where
                told.alert_id = alerts.alert_id and told.destination = %(destination)s
                and told.notice = 'opened' and told.sent_at is not null
        )
)

select
    c.alert_id,
    c.notice,
    c.kind,
    c.subject,
    c.severity,
    c.message,
    c.what_to_do,
    c.times_raised,
    c.first_raised_at,
    c.escalated_at,
    c.resolved_at
from candidates as c
left join control.alert_notices as n
    on
        c.alert_id = n.alert_id and n.destination = %(destination)s
        and c.notice = n.notice and c.escalated_at = n.escalated_at
where
    c.severity = any(%(severities)s)
    and n.sent_at is null
    and (n.next_attempt_at is null or n.next_attempt_at <= %(now)s)
    and not exists (
        select from control.alert_mutes as m
        where m.kind = c.kind and m.subject in ('', c.subject) and m.muted_until > %(now)s
    )
order by array_position(array['critical', 'warning', 'info'], c.severity), c.alert_id
