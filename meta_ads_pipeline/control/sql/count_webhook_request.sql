insert into control.webhook_requests as r
values (date_trunc('minute', now()), %(outcome)s, 1, %(changes)s, %(new)s, %(size)s)
on conflict (minute, outcome) do update set
    requests = r.requests + 1,
    changes = r.changes + excluded.changes,
    new_changes = r.new_changes + excluded.new_changes, bytes = r.bytes + excluded.bytes
