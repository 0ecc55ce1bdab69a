insert into control.call_counts as c
(connection, minute, account_id, use_case, calls, wasted)
values (
    %(connection)s, to_timestamp(%(minute)s), %(account_id)s, %(use_case)s,
    %(calls)s, %(wasted)s
)
on conflict (connection, minute, account_id, use_case) do update set
    calls = c.calls + excluded.calls, wasted = c.wasted + excluded.wasted
