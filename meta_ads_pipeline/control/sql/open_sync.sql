insert into control.syncs as s (scope, start_date, end_date)
values (%(scope)s, %(start)s, %(end)s)
on conflict (scope) where status <> 'done' do update
    set
        status = 'running', finished_at = null,
        sync_id = case
            when s.started_at < now() - %(within)s
                then gen_random_uuid()
            else s.sync_id
        end,
        started_at = case
            when s.started_at < now() - %(within)s
                then now()
            else s.started_at
        end
returning sync_id::text as sync_id, started_at, started_at < now() as resumed
