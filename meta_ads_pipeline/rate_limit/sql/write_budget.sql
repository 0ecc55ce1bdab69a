insert into control.call_budgets as b (
    app, account_id, use_case,
    percent, span_seconds, read_at, tier, is_warned, updated_at
)
values (
    %(app)s, %(account_id)s, %(use_case)s, %(percent)s, %(span)s,
    to_timestamp(%(read_at)s), %(tier)s, %(warned)s, now()
)
on conflict (app, account_id, use_case) do update set
    percent = excluded.percent, span_seconds = excluded.span_seconds,
    read_at = excluded.read_at, tier = coalesce(excluded.tier, b.tier),
    is_warned = excluded.is_warned, updated_at = now()
where b.read_at is null or b.read_at <= excluded.read_at
