select
    app,
    account_id,
    use_case,
    percent,
    span_seconds,
    tier,
    times_blocked,
    regain_seconds,
    is_warned,
    extract(epoch from read_at)::float as read_at,
    extract(epoch from blocked_until)::float as blocked_until,
    extract(epoch from refused_at)::float as refused_at
from control.call_budgets
where app = %(app)s and account_id = any(%(accounts)s)
