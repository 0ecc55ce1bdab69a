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
        'attempts', coalesce(slices.attempts, 0)
    ) as shown
from
    unnest(%(begun_accounts)s::text[], %(begun_dates)s::date[])
        as expected (account_id, event_date)
left join control.slices as slices
    on
        expected.account_id = slices.account_id
        and expected.event_date = slices.partition_date
        and slices.asset = %(asset)s
cross join
    lateral (
        select
            case coalesce(slices.status, 'missing')
                when 'missing' then 'never pulled'
                when 'running'
                    then
                        'still running, or its process was killed'
                        || coalesce(' (before: ' || said.text || ')', '')
                else slices.status || coalesce(': ' || said.text, '')
            end as reason
        from (
            select
                nullif(
                    concat_ws(
                        ': ', nullif(slices.error_kind, ''), nullif(slices.error_message, '')
                    ),
                    ''
                ) as text
        ) as said
    ) as missing
-- Those that are mismatched are pulled: the reconciliation speaks of them. What Meta no longer keeps
-- cannot be pulled.
where slices.status is null or slices.status not in ('done', 'mismatched', 'not_kept')
