insert into control.alerts as a (
    kind, subject, severity, stage, message, what_to_do,
    first_raised_at, last_raised_at, escalated_at
)
values (
    %(kind)s, %(subject)s, %(severity)s, %(stage)s, %(message)s, %(what)s,
    %(at)s, %(at)s, %(at)s
)
on conflict (kind, subject) where resolved_at is null do update
    set
        escalated_at = case
            when (a.severity, a.stage) is distinct from (excluded.severity, excluded.stage)
                then excluded.last_raised_at
            else a.escalated_at
        end,
        severity = excluded.severity, stage = excluded.stage,
        message = excluded.message, what_to_do = excluded.what_to_do,
        last_raised_at = excluded.last_raised_at, times_raised = a.times_raised + 1
returning escalated_at = %(at)s as is_news
