insert into control.unreadable_accounts as u (account_id, since, reason, next_try_at)
values (%(id)s, %(now)s, %(reason)s, %(now)s + %(first)s)
on conflict (account_id) do update
    set
        reason = excluded.reason,
        tries = u.tries + 1, next_try_at = %(now)s
        + (%(after)s::interval[])[u.tries + 1]
returning since, next_try_at
