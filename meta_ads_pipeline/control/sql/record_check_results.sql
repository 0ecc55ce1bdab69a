insert into control.check_results as r (
    account_id, event_date, asset, check_name,
    status, severity, violations, observed, expected, message, run_id,
    first_failed_at, last_failed_at, last_checked_at, times_failed
)
select
    account_id,
    event_date,
    %(asset)s,
    %(check)s,
    status,
    %(severity)s,
    violations,
    observed,
    expected,
    message,
    %(run)s,
    case when status <> 'passed' then %(at)s end,
    case when status <> 'passed' then %(at)s end,
    %(at)s,
    case when status <> 'passed' then 1 else 0 end
from
    unnest(
        %(accounts)s::text[], %(days)s::date[], %(statuses)s::text[],
        %(violations)s::bigint[], %(observed)s::text[], %(expected)s::text[],
        %(messages)s::text[])
        as new
        (account_id, event_date, status, violations, observed, expected, message)
-- Always in one order: two runs that look at the same days never wait in a circle.
order by account_id, event_date
on conflict (account_id, event_date, asset, check_name) do update set
    status = excluded.status, severity = excluded.severity,
    violations = excluded.violations, observed = excluded.observed,
    expected = excluded.expected, message = excluded.message,
    run_id = excluded.run_id, last_checked_at = excluded.last_checked_at,
    first_failed_at = case
        when excluded.status <> 'passed'
            then coalesce(r.first_failed_at, excluded.first_failed_at)
    end,
    last_failed_at = coalesce(excluded.last_failed_at, r.last_failed_at),
    times_failed = case
        when excluded.status = 'passed' then 0
        when r.run_id = excluded.run_id and r.status <> 'passed' then r.times_failed
        else r.times_failed + 1
    end
where r.last_checked_at <= excluded.last_checked_at
