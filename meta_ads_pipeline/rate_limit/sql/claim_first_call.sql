insert into control.call_budgets as b
(app, account_id, use_case, last_call_at, updated_at)
values (%(app)s, %(account_id)s, %(use_case)s, to_timestamp(%(now)s), now())
on conflict (app, account_id, use_case) do update
    set
        last_call_at = excluded.last_call_at
    where b.last_call_at is null
    or b.last_call_at + make_interval(secs => %(pause)s) <= excluded.last_call_at
returning 1
