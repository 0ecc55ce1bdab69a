select
    expected.account_id,
    expected.event_date,
    'a done slice' as rule,
    false as is_warning,
    1 as violations,
    missing.reason as observed,
    'not pulled: ' || missing.reason as message,
    json_build_object(
        'account', 'act_' || expected.account_id,
        'date', expected.event_date,
        'reason', missing.reason,
        'attempts', coalesce(s.attempts, 0)
    ) as shown
from
    unnest(%(begun_accounts)s::text[], %(begun_dates)s::date[])
        as expected (account_id, event_date)
left join control.slices as s
    on
        expected.account_id = s.account_id
        and expected.event_date = s.partition_date
        and s.asset = %(asset)s
cross join
    lateral (
        select
            case coalesce(s.status, 'missing')
                when 'missing' then 'never pulled'
                when 'running'
                    then
                        'still running, or its process was killed'
                        || coalesce(' (before: ' || said.text || ')', '')
                else s.status || coalesce(': ' || said.text, '')
            end as reason
        from (
            select
                nullif(
                    concat_ws(
                        ': ', nullif(s.error_kind, ''), nullif(s.error_message, '')
                    ),
                    ''
                ) as text
        ) as said
    ) as missing
-- Those that are mismatched are pulled: the reconciliation speaks of them. What Meta no longer keeps
-- cannot be pulled. What another run reads again is there.
where
    s.status is null
    or s.status not in ('done', 'mismatched', 'not_kept') and not {{ is_read_again }}
