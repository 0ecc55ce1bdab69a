insert into control.call_budgets as b (
    app, account_id, use_case, blocked_since,
    blocked_until, refused_at, block_code, times_blocked, regain_seconds,
    updated_at
)
values (
    %(app)s, %(account_id)s, %(use_case)s, to_timestamp(%(now)s),
    to_timestamp(%(until)s), to_timestamp(%(now)s), %(code)s, 1,
    %(retry_after)s, now()
)
on conflict (app, account_id, use_case) do update set
    blocked_since = coalesce(b.blocked_since, excluded.blocked_since),
    blocked_until = greatest(b.blocked_until, excluded.blocked_until),
    refused_at = greatest(b.refused_at, excluded.refused_at),
    block_code = excluded.block_code, regain_seconds = excluded.regain_seconds,
    times_blocked = b.times_blocked + %(new)s, probe_until = null,
    updated_at = now()
